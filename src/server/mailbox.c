/* The locked list behind mailbox.h. */
#include "server/mailbox.h"

#include <stdlib.h>
#include <string.h>

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){0};
    (void)pthread_mutex_init(&mailbox->lock, NULL);
}

void mailbox_fini(struct mailbox *mailbox)
{
    while (mailbox->head != NULL) {
        struct letter *letter = mailbox->head;

        mailbox->head = letter->next;
        letter_free(letter);
    }
    (void)pthread_mutex_destroy(&mailbox->lock);
}

void letter_free(struct letter *letter)
{
    if (letter != NULL) {
        free(letter->data);
        free(letter);
    }
}

enum tlsmsg_code mailbox_post(struct mailbox *mailbox, const struct tlsmsg_token *token,
                              const void *data, size_t len)
{
    struct letter *letter = calloc(1, sizeof(*letter));

    if (letter == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    letter->token = *token;
    letter->len = len;
    if (len > 0) {
        letter->data = malloc(len);
        if (letter->data == NULL) {
            letter_free(letter);
            return TLSMSG_ERR_NOMEM;
        }
        memcpy(letter->data, data, len);
    }
    (void)pthread_mutex_lock(&mailbox->lock);
    if (mailbox->tail != NULL) {
        mailbox->tail->next = letter;
    } else {
        mailbox->head = letter;
    }
    mailbox->tail = letter;
    (void)pthread_mutex_unlock(&mailbox->lock);
    return TLSMSG_OK;
}

void mailbox_post_release(struct mailbox *mailbox, bool fail)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    mailbox->release = true;
    mailbox->fail = mailbox->fail || fail;
    (void)pthread_mutex_unlock(&mailbox->lock);
}

struct letter *mailbox_take(struct mailbox *mailbox, bool *release, bool *fail)
{
    struct letter *letters;

    (void)pthread_mutex_lock(&mailbox->lock);
    letters = mailbox->head;
    mailbox->head = NULL;
    mailbox->tail = NULL;
    *release = mailbox->release;
    *fail = mailbox->fail;
    mailbox->release = false;
    mailbox->fail = false;
    (void)pthread_mutex_unlock(&mailbox->lock);
    return letters;
}
