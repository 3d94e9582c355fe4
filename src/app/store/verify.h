/* verify: tells each fault on stdout, and a summary. */
#ifndef APP_STORE_VERIFY_H
#define APP_STORE_VERIFY_H

#include "app/store/reader.h"

#define VERIFY_FAULTS_SHOWN 100 /* all are counted */
#define VERIFY_PRODUCER_SHOWN 128

/* *faults: how many were found. TLSMSG_OK, or a code with its cause. */
enum tlsmsg_code verify_store(struct reader *reader, uint64_t *faults, struct tlsmsg_error *err);

#endif
