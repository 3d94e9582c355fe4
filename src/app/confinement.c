/* Confinement: user first, then sandbox, then a look back at the files of a reload.
 *
 * The look comes last because only then it meets what a reload will meet: the other user's rights,
 * root's without its capabilities, and the sandbox's rules. Main thread, before all others. */
#include "app/confinement.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/escape.h"

#define SHOWN_MAX 256

enum tlsmsg_code confinement_check(const char *user, struct tlsmsg_error *err)
{
    char shown[SHOWN_MAX];
    const struct passwd *entry;

    if (user == NULL) {
        return TLSMSG_OK;
    }
    errno = 0;
    entry = getpwnam(user);
    if (entry == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "--user: there is no user '%s'",
                         escape_name(shown, sizeof(shown), user));
    }
    if (geteuid() != 0 && geteuid() != entry->pw_uid) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--user: only root can become user '%s' (start as root, or leave --user "
                         "out)",
                         escape_name(shown, sizeof(shown), user));
    }
    return TLSMSG_OK;
}

static void look_back(const char *user, const struct sandbox *sandbox, struct confinement *out)
{
    const char *path = sandbox_unreadable(sandbox);
    char file[SHOWN_MAX];
    char shown[SHOWN_MAX / 2];
    int cause = errno;

    out->warning[0] = '\0';
    if (path == NULL) {
        return;
    }
    (void)escape_name(file, sizeof(file), path);
    if (user != NULL) {
        (void)snprintf(out->warning, sizeof(out->warning),
                       "a reload will fail: user '%s' cannot read '%s': %s",
                       escape_name(shown, sizeof(shown), user), file, strerror(cause));
    } else {
        (void)snprintf(out->warning, sizeof(out->warning),
                       "a reload will fail: without root's privileges '%s' cannot be read again: "
                       "%s",
                       file, strerror(cause));
    }
}

enum tlsmsg_code confinement_enter(const char *user, const struct sandbox *sandbox,
                                   struct confinement *out, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;

    if (user != NULL && geteuid() == 0) {
        code = sandbox_become(user, err);
    }
    if (code != TLSMSG_OK) {
        return code;
    }
    if (confinement_has_sandbox) {
        code = sandbox_enter(sandbox, out->held, sizeof(out->held), err);
    } else {
        (void)snprintf(out->held, sizeof(out->held),
                       "sandbox: none in this build, which is made for finding errors");
    }
    if (code == TLSMSG_OK) {
        look_back(user, sandbox, out);
    }
    return code;
}
