/* Exit codes: one table from the library's codes to the programs'. Pure, any thread. */
#include "app/exit_codes.h"

#include <stddef.h>

/* One row a code: while starting, while connecting, while talking. */
static const enum exit_code table[][3] = {
    [TLSMSG_OK] = {EXIT_DONE, EXIT_DONE, EXIT_DONE},
    [TLSMSG_ERR_NOMEM] = {EXIT_OTHER, EXIT_OTHER, EXIT_OTHER},
    [TLSMSG_ERR_SYSTEM] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_CONFIG] = {EXIT_USAGE, EXIT_USAGE, EXIT_USAGE},
    [TLSMSG_ERR_STATE] = {EXIT_OTHER, EXIT_OTHER, EXIT_OTHER},
    [TLSMSG_ERR_CONNECT] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_HANDSHAKE] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_NOT_TLS] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_IS_TLS] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_UNTRUSTED] = {EXIT_OTHER, EXIT_UNTRUSTED, EXIT_UNTRUSTED},
    [TLSMSG_ERR_REFUSED] = {EXIT_OTHER, EXIT_REFUSED, EXIT_REFUSED},
    [TLSMSG_ERR_TRUNCATED] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_RESET] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_TIMEOUT] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_PROTOCOL] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_UTF8] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_LIMIT] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_CLOSED] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
};

enum exit_code exit_code_for(enum tlsmsg_code code, enum exit_phase phase)
{
    if ((size_t)code >= sizeof(table) / sizeof(table[0])) {
        return EXIT_OTHER;
    }
    return table[code][phase];
}
