#include "server/flow.h"

const struct flow *flow_choose(const struct tlsmsg_tls *tls)
{
    return tls != NULL && tls->protocol != NULL ? &flow_numbered : &flow_document;
}
