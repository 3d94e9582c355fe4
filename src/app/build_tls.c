/* What is particular to the TLS build. Constants, any thread. */
#include "app/build.h"

#include <tlsmsg/client.h>

const bool app_has_tls = true;
const bool app_raw_text = false;
const bool app_drops_line_end = true;
const size_t app_line_max_bytes = TLSMSG_RECORD_MESSAGE_MAX;
const char app_title_identity[] = "Certificates:";
const char app_title_trust[] = "Which server to trust (else the system's CAs decide):";
const char app_title_tls[] = "TLS:";
