/* Answers: printed with stdio, whose buffer makes failures show only when it is flushed. Main
 * thread, before anything else is printed. */
#include "app/answer.h"

#include <errno.h>
#include <string.h>

#include "app/complain.h"

enum exit_code answer_flush(const char *program)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return EXIT_DONE;
    }
    complain(program, "cannot write to stdout: %s", strerror(errno != 0 ? errno : EIO));
    return EXIT_OTHER;
}

enum exit_code answer_print(const struct arguments *arguments, int asked)
{
    arguments_print(arguments, asked, stdout);
    return answer_flush(arguments->program);
}

enum exit_code answer_line(const char *program, const char *text)
{
    (void)puts(text);
    return answer_flush(program);
}
