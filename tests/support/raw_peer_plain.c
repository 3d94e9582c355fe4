/* A raw peer's session where there is none: bytes are what they are. */
#include "support/raw_peer.h"

void raw_peer_setup(void)
{
}

void raw_peer_teardown(void)
{
}

/* There is nothing that could be offered. */
void raw_peer_offer(bool numbered)
{
    (void)numbered;
}

void raw_peer_resume(const struct raw_peer *p)
{
    (void)p;
}

struct raw_session *raw_session_new(bool old)
{
    (void)old;
    return NULL;
}

void raw_session_free(struct raw_session *session)
{
    (void)session;
}

void raw_session_start(struct raw_peer *p)
{
    p->open = true;
}

void raw_session_feed(struct raw_peer *p, const void *data, size_t len)
{
    p->lost = !raw_peer_hear(p, data, len) || p->lost;
}

bool raw_session_say(struct raw_peer *p, const void *data, size_t len)
{
    return raw_peer_to_wire(p, data, len);
}

bool raw_session_rekey(struct raw_peer *p)
{
    (void)p;
    return false;
}

void raw_session_goodbye(struct raw_peer *p)
{
    (void)p;
}

void raw_session_eof(struct raw_peer *p)
{
    p->ended = true;
}
