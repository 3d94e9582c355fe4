/* The numbers of a client's messages in tlsmsg/1, and the name that they belong to. */
#include "client/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"

/* A server remembers such a name for 24 hours after its last connection. */
#define NAME_LIFE_NS (12 * (int64_t)3600 * CLOCK_NS_PER_S)
#define NAME_DIGITS 22 /* of a name that is made, 6 random bits each */

bool client_makes_name(const struct tlsmsg_client *c)
{
    return strcmp(c->settings.producer, "~") == 0;
}

enum tlsmsg_code client_numbers_init(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bits[NAME_DIGITS];

    c->numbers.from = c->numbers.next = 1;
    if (c->settings.producer == NULL) {
        return TLSMSG_OK;
    }
    if (c->settings.document_flow) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "a producer's numbers need tlsmsg/1 (leave --document-flow out)");
    }
    if (!client_makes_name(c)) {
        char shown[160];

        if (!frame_is_producer(c->settings.producer, strlen(c->settings.producer))) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "--producer wants 1 to %d of the characters A-Z a-z 0-9 . _ : -, not "
                             "'%s'",
                             FRAME_PRODUCER_MAX,
                             escape_name(shown, sizeof(shown), c->settings.producer));
        }
        (void)snprintf(c->producer, sizeof(c->producer), "%s", c->settings.producer);
        return TLSMSG_OK;
    }
    if (getrandom(bits, sizeof(bits), 0) != (ssize_t)sizeof(bits)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot get random bits");
    }
    c->producer[0] = '~';
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        c->producer[i + 1] = digits[bits[i] % (sizeof(digits) - 1)];
    }
    return TLSMSG_OK;
}

enum tlsmsg_code client_numbers_renew(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct client_numbers *numbers = &c->numbers;

    if (c->settings.producer == NULL || !client_makes_name(c) || numbers->heard_ns == 0 ||
        clock_since_boot_ns() - numbers->heard_ns < NAME_LIFE_NS) {
        return TLSMSG_OK;
    }
    if (numbers->known >= numbers->from) {
        return error_set(err, TLSMSG_ERR_STATE, 0,
                         "no connection for 12 hours: the server may have forgotten which messages "
                         "it has taken");
    }
    *numbers = (struct client_numbers){.from = 0};
    return client_numbers_init(c, err);
}

const struct tlsmsg_greeting *tlsmsg_client_hello(const struct tlsmsg_client *client)
{
    return client->has_numbers && client->numbered.greeted ? &client->numbered.greeting : NULL;
}

enum tlsmsg_code tlsmsg_client_number_from(struct tlsmsg_client *client, uint64_t number,
                                           struct tlsmsg_error *err)
{
    struct client_numbers *numbers = &client->numbers;
    const struct tlsmsg_greeting *hello = tlsmsg_client_hello(client);

    if (number == 0 || number > FRAME_NUMBER_MAX) {
        return error_set(err, TLSMSG_ERR_STATE, 0, "a number is 1 or more");
    }
    if (client->state == CLIENT_NEW) {
        numbers->from = numbers->next = number;
        return TLSMSG_OK;
    }
    if (hello == NULL || client->numbered.sending || numbers->next != numbers->from) {
        return error_set(err, TLSMSG_ERR_STATE, 0,
                         "a number is chosen before connecting, or before the first message");
    }
    if (number < numbers->from || (number > numbers->from && number > hello->last + 1)) {
        return error_set(err, TLSMSG_ERR_STATE, 0,
                         "the server has messages up to %" PRIu64 ", and those below %" PRIu64
                         " are settled: %" PRIu64 " can't be next",
                         hello->last, numbers->from, number);
    }
    numbers->from = numbers->next = client->numbered.arrived = number;
    numbers->known = hello->last > numbers->known ? hello->last : numbers->known;
    return TLSMSG_OK;
}

uint64_t tlsmsg_client_number(const struct tlsmsg_client *client)
{
    return client->has_numbers ? client->numbers.next - 1 : 0;
}

uint64_t tlsmsg_client_reply_number(const struct tlsmsg_client *client)
{
    return client->numbers.reply;
}

uint64_t tlsmsg_client_unanswered(const struct tlsmsg_client *client)
{
    return client->numbers.next - client->numbers.from;
}

unsigned tlsmsg_client_bye(const struct tlsmsg_client *client)
{
    return client->bye;
}
