/* SHA-256: the standard's examples, whole and in parts, one message after the other. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "transport/digest.h"

static const struct row {
    const char *name;
    const char *text;
    size_t times;
    const char *hex;
} rows[] = {
    {"nothing", "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"a million", "aaaaaaaaaa", 100000,
     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void check(struct digest *digest, const char *hex)
{
    unsigned char out[DIGEST_BYTES];
    char text[2 * DIGEST_BYTES + 1];

    assert_true(digest_end(digest, out));
    for (size_t i = 0; i < sizeof(out); i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", out[i]);
    }
    assert_string_equal(text, hex);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct digest *digest = digest_new();

    assert_non_null(digest);
    for (size_t i = 0; i < row->times; i++) {
        assert_true(digest_add(digest, row->text, strlen(row->text)));
    }
    check(digest, row->hex);
    /* A byte at a time. */
    for (size_t i = 0; i < row->times; i++) {
        for (const char *at = row->text; *at != '\0'; at++) {
            assert_true(digest_add(digest, at, 1));
        }
    }
    check(digest, row->hex);
    check(digest, rows[0].hex);
    digest_free(digest);
}

int main(void)
{
    int failed = 0;

    RUN_ROWS(failed, test_row, rows);
    digest_free(NULL);
    return failed;
}
