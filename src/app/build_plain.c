/* What is particular to the plaintext build. Constants, any thread. */
#include "app/build.h"

const bool app_has_tls = false;
const bool app_raw_text = true;
const bool app_drops_line_end = false;
const size_t app_line_max_bytes = (size_t)16 * 1024 * 1024;
const char app_title_identity[] = "Certificates (refused by this plaintext build):";
const char app_title_trust[] = "Which server to trust (refused by this plaintext build):";
const char app_title_tls[] = "TLS (refused by this plaintext build):";
