/* See storing_message.h. */
#include "support/storing_message.h"

#include <string.h>

struct storing *storing;

static struct tlsmsg_tls tls = {.identity = "CN=alice"};
struct tlsmsg_peer storing_peer;
struct tlsmsg_token storing_token;
const char *storing_producer;
const char *storing_body;
size_t storing_body_len;
const unsigned char storing_hash[STORE_HASH_BYTES] = "hash";

const char *__wrap_tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len);
const struct tlsmsg_peer *__wrap_tlsmsg_message_peer(const struct tlsmsg_message *message);
void __wrap_tlsmsg_message_token(const struct tlsmsg_message *message, struct tlsmsg_token *token);
const char *__wrap_tlsmsg_message_producer(const struct tlsmsg_message *message);
uint64_t __wrap_tlsmsg_message_number(const struct tlsmsg_message *message);
const unsigned char *__wrap_tlsmsg_message_hash(const struct tlsmsg_message *message);

void storing_message_reset(void)
{
    storing_peer = (struct tlsmsg_peer){.connection = 7, .address = "127.0.0.1:1", .tls = &tls};
    storing_token = (struct tlsmsg_token){.connection = 7, .message = 1, .worker = 1, .slot = 5};
    storing_producer = "p";
    storing_body = "hello";
    storing_body_len = strlen(storing_body);
}

void storing_say(void)
{
    storing_message(storing, NULL); /* the functions below tell what it is */
}

void storing_greet(const char *producer)
{
    const struct tlsmsg_hello hello = {.peer = &storing_peer,
                                       .producer = producer,
                                       .from = 1,
                                       .token = {.connection = 7, .worker = 1, .slot = 0xABCDEF}};

    storing_hello(storing, &hello);
}

const char *__wrap_tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len)
{
    (void)message;
    *len = storing_body_len;
    return storing_body;
}

const struct tlsmsg_peer *__wrap_tlsmsg_message_peer(const struct tlsmsg_message *message)
{
    (void)message;
    return &storing_peer;
}

void __wrap_tlsmsg_message_token(const struct tlsmsg_message *message, struct tlsmsg_token *token)
{
    (void)message;
    *token = storing_token;
}

const char *__wrap_tlsmsg_message_producer(const struct tlsmsg_message *message)
{
    (void)message;
    return storing_producer;
}

uint64_t __wrap_tlsmsg_message_number(const struct tlsmsg_message *message)
{
    (void)message;
    return 11;
}

const unsigned char *__wrap_tlsmsg_message_hash(const struct tlsmsg_message *message)
{
    (void)message;
    return storing_hash;
}
