/* The file of --ticket-keys: keys that several servers behind one address share.
 *
 * Up to three lines, "previous", "current" and "next", each followed by a space and 160 hexadecimal
 * digits: 16 bytes of name, 32 of cipher key, 32 of MAC key. New tickets are sealed with the
 * current key; all three open. Rotation moves next to current and current to previous, so a key
 * is known everywhere before anybody seals with it (scripts/rotate-ticket-keys.sh). */
#ifndef TRANSPORT_TLS_TICKET_FILE_H
#define TRANSPORT_TLS_TICKET_FILE_H

#include <stdbool.h>

#include <tlsmsg/error.h>

#define TICKET_NAME_BYTES 16
#define KEY_BYTES 32

struct ticket_key {
    unsigned char name[TICKET_NAME_BYTES];
    unsigned char cipher[KEY_BYTES];
    unsigned char mac[KEY_BYTES];
};

enum { TICKET_PREVIOUS, TICKET_CURRENT, TICKET_NEXT, TICKET_KEY_COUNT };

struct ticket_file {
    bool present[TICKET_KEY_COUNT];
    struct ticket_key keys[TICKET_KEY_COUNT];
};

/* Reads a file. TLSMSG_ERR_CONFIG names the line that is wrong, and never shows what is in it. */
enum tlsmsg_code ticket_file_read(const char *path, struct ticket_file *out,
                                  struct tlsmsg_error *err);

/* Takes the text of such a file, which it changes; name: the file's, for the error. */
enum tlsmsg_code ticket_file_parse(char *text, const char *name, struct ticket_file *out,
                                   struct tlsmsg_error *err);

void ticket_file_wipe(struct ticket_file *file);

#endif
