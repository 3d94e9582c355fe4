/* See rest.h. Main thread. */
#include "app/client/rest.h"

#include <inttypes.h>

#include "app/terminal.h"
#include "base/build.h"

enum input_rest rest_of(const struct session *session, uint64_t *count)
{
    if (session->input == NULL) {
        *count = session->given - (session->tally.next - 1);
        return *count > 0 ? INPUT_REST_COUNTED : INPUT_REST_NONE;
    }
    return input_rest(session->input, session->resume_at, count);
}

/* Lines behind an 'exit' of the document's kind. The tutorial's own client says nothing of them, so
 * plaintext says it to scripts alone. */
static void tell_after_exit(const struct session *session)
{
    char left[TALLY_TEXT_MAX];
    uint64_t count;
    enum input_rest rest = input_rest(session->input, session->resume_at, &count);

    if (rest == INPUT_REST_COUNTED || rest == INPUT_REST_SOME) {
        tally_print_rest(&session->tally, rest, count, left, sizeof(left));
        startup_warn(session->program, "'exit' on line %" PRIu64 " ended the conversation: %s%s",
                     session->tally.next - 1, left,
                     BUILD_HAS_TLS ? "; try: -q, with which it is a message" : "");
    }
}

/* A message that has no answer is sent again by who goes on there: none is lost, but one may be taken
 * twice, unless its producer's numbers tell. */
static void set_back(const struct session *session, bool failed, bool never_began)
{
    const struct delivery_message *open =
        session->delivery != NULL ? delivery_head(session->delivery) : NULL;

    if (session->spooling != NULL) {
        input_set_back(session->input, session->resume_at); /* what lies before it is kept */
    } else if (session->is_whole && failed) {
        input_set_back(session->input, 0);
    } else if (failed && open != NULL && session->delivery->ever_sent > 0) {
        input_set_back(session->input, open->line_at);
        if (session->input->is_seekable) {
            startup_warn(session->program,
                         "stdin is set back to line %" PRIu64
                         ", which has no answer: sent again it may be taken twice",
                         open->number);
        }
    } else {
        input_set_back(session->input, never_began ? 0 : session->resume_at);
    }
}

void rest_end(struct session *session, enum exit_code code)
{
    bool failed = code != EXIT_DONE && !session->completed;
    /* Under TLS 1.3 a refusal comes when messages may be on their way; none of them was taken. */
    bool never_began =
        code == EXIT_REFUSED && session->tally.answered == 0 && session->spooling == NULL;
    enum input_rest rest = INPUT_REST_NONE;
    char text[TALLY_TEXT_MAX];
    uint64_t count = 0;

    if (session->input != NULL) {
        session->discarded |= failed && terminal_discard_input();
        set_back(session, failed, never_began);
    }
    if (session->exited && (BUILD_HAS_TLS || session->console->style.quiet) &&
        session->input != NULL && !session->input->is_terminal) {
        tell_after_exit(session);
    }
    if (failed && !never_began && session->given != 1) {
        rest = session->discarded ? INPUT_REST_SOME : rest_of(session, &count);
    }
    if (session->verbose || rest == INPUT_REST_COUNTED || rest == INPUT_REST_SOME ||
        (failed && session->spooling == NULL &&
         session->tally.sent > session->tally.answered + 1)) {
        tally_print(&session->tally, rest, count, text, sizeof(text));
        startup_warn(session->program, "%s%s", text,
                     session->discarded ? " (what was typed was discarded)" : "");
    }
}
