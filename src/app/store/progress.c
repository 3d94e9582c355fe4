#include "app/store/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "app/terminal.h"
#include "base/clock.h"

#define EVERY_NS ((int64_t)200 * CLOCK_NS_PER_MS)

void progress_begin(struct progress *progress, const char *what)
{
    *progress = (struct progress){
        .what = what, .begun_ns = clock_now_ns(), .is_shown = terminal_takes_style(STDERR_FILENO)};
}

void progress_tell(struct progress *progress, uint64_t done, uint64_t all)
{
    int64_t now_ns = clock_now_ns();

    if (!progress->is_shown || now_ns - progress->begun_ns < CLOCK_NS_PER_S ||
        now_ns - progress->told_ns < EVERY_NS) {
        return;
    }
    progress->told_ns = now_ns;
    progress->told = true;
    (void)fprintf(stderr, "\r%s %" PRIu64 " of %" PRIu64 " (%u %%)\033[K", progress->what, done,
                  all, all > 0 ? (unsigned)((double)done * 100 / (double)all) : 100);
}

void progress_end(struct progress *progress)
{
    if (progress->told) {
        (void)fputs("\r\033[K", stderr);
        progress->told = false;
    }
}
