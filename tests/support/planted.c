/* One bug for each sanitizer to find. A run that reports nothing here would report nothing of the
 * project either, however broken: these are the proof that a sanitizer's clean result means
 * something. CMake chooses the bug by its function's name. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int planted_overflow(int n);
int planted_leak(int n);
int planted_race(int n);
int planted_shift(int n);

/* What is wrong must stay in spite of the optimiser: no inlining, and results that are used. */
__attribute__((noinline)) int planted_overflow(int n)
{
    volatile char *bytes = malloc((size_t)n);
    int read;

    if (bytes == NULL) {
        return 0;
    }
    bytes[0] = 1;
    read = bytes[n]; /* one past the end */
    free((void *)(uintptr_t)bytes);
    return read;
}

__attribute__((noinline)) int planted_leak(int n)
{
    volatile char *bytes = malloc((size_t)n);
    int value = 0;

    if (bytes != NULL) {
        bytes[0] = 1;
        value = bytes[0];
    }
    bytes = NULL; /* nobody has it any more */
    return value;
}

__attribute__((noinline)) int planted_shift(int n)
{
    volatile int places = n + 31; /* as many as an int has bits, or more */

    return 1 << places;
}

static volatile int shared;
static pthread_barrier_t both;

/* Both threads are there before either counts: of one that has ended nothing may be remembered. */
static void *count_up(void *times)
{
    (void)pthread_barrier_wait(&both);
    for (int i = 0; i < *(int *)times; i++) {
        shared++; /* without a lock */
    }
    return NULL;
}

__attribute__((noinline)) int planted_race(int n)
{
    pthread_t other;

    if (pthread_barrier_init(&both, NULL, 2) != 0 ||
        pthread_create(&other, NULL, count_up, &n) != 0) {
        return 0;
    }
    (void)count_up(&n);
    (void)pthread_join(other, NULL);
    return shared;
}

int main(int argc, char **argv)
{
    (void)argv;
    (void)printf("%d\n", PLANTED(argc * 1000));
    return 0;
}
