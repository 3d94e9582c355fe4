/* prune, backup and init. Each returns TLSMSG_OK, or a code with its cause. */
#ifndef APP_STORE_MAINTAIN_H
#define APP_STORE_MAINTAIN_H

#include "app/store/reader.h"

enum tlsmsg_code maintain_prune(const char *path, int64_t keep_ms, struct tlsmsg_error *err);

/* to must not be there yet; what is begun there is removed when it fails. */
enum tlsmsg_code maintain_backup(struct reader *reader, const char *to, struct tlsmsg_error *err);
enum tlsmsg_code maintain_init(const char *path, struct tlsmsg_error *err);

#endif
