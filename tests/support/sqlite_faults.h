/* Calls of SQLite that answer what a test wants, told apart by their SQL: an error, or a success of
 * which nothing is true. Once one was met, SQLite's words for what went wrong are the fault's own.
 *
 * Needs WRAP ${sqlite_faults} in tests/unit/store.cmake. One thread. */
#ifndef SUPPORT_SQLITE_FAULTS_H
#define SUPPORT_SQLITE_FAULTS_H

#include <stdbool.h>

enum sqlite_call {
    SQLITE_CALL_STEP,
    SQLITE_CALL_PREPARE,
    SQLITE_CALL_EXEC,
    SQLITE_CALL_CHECKPOINT, /* these have no SQL */
    SQLITE_CALL_TXN_STATE,
    SQLITE_CALL_OPEN, /* gives no connection with SQLITE_NOMEM, one with all else */
    SQLITE_CALL_CLOSE,
    SQLITE_CALL_BACKUP_INIT, /* any result: NULL */
    SQLITE_CALL_BACKUP_STEP,
    SQLITE_CALL_BACKUP_FINISH
};

/* What SQLite says of a fault that was met, with the SQLite result's number in front of ')'. */
#define SQLITE_FAULT_WORDS "a planted fault (SQLite "

/* The nth call from now on whose SQL begins so (NULL: any) gives that result instead of doing
 * anything. The second one adds to what was asked for before. */
void sqlite_fault_at(enum sqlite_call call, const char *sql, unsigned nth, int result);
void sqlite_fault_also(enum sqlite_call call, const char *sql, unsigned nth, int result);

/* The system's error behind it (sqlite3_system_errno); 0: none. Until the next sqlite_fault_at. */
void sqlite_fault_errno(int sys_errno);

/* No more faults, and SQLite's own words. Returns whether all were met. */
bool sqlite_fault_end(void);

/* How many calls the first fault has seen, itself included. */
unsigned sqlite_fault_calls(void);

/* What was asked for last: the mode of a checkpoint, the milliseconds of a busy timeout. */
int sqlite_last_checkpoint_mode(void);
int sqlite_last_busy_timeout(void);

/* The pages that the last step of a backup was to copy. */
int sqlite_last_backup_pages(void);

/* How many statements were in the midst of their rows when the last transaction began to write. */
unsigned sqlite_busy_at_begin(void);

/* What the next checkpoint tells of its frames, beside its result; -1: what is true. */
void sqlite_checkpoint_tells(int frames, int moved);

/* Called behind each open that worked, and before each step that does something; NULL: nobody is. */
extern void (*sqlite_on_open)(void);
extern void (*sqlite_on_step)(const char *sql);

#endif
