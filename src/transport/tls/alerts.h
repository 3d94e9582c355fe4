/* TLS alerts: their names, and which of them say that our certificate or our access is refused. */
#ifndef TRANSPORT_TLS_ALERTS_H
#define TRANSPORT_TLS_ALERTS_H

#include <stdbool.h>

/* The name as RFC 8446 section 6 has it, with spaces: "unknown ca"; NULL for a number without one. */
const char *alert_name(int alert);

/* True where the alert judges the receiver's certificate or access rather than the protocol. */
bool alert_is_refusal(int alert);

#endif
