/* The BIO over a byte source: how it watches over a ClientHello's length, however the bytes come. */
#include <string.h>

#include "support/memory_source.h"
#include "support/unit.h"
#include "transport/tls/bio.h"

#define HELLO_LONGEST 32768

struct written {
    unsigned char bytes[1024];
    size_t len;
};

static void put_record(struct written *w, unsigned char type, size_t len)
{
    const unsigned char head[] = {type, 3, 3, (unsigned char)(len >> 8), (unsigned char)len};

    memcpy(w->bytes + w->len, head, sizeof(head));
    w->len += sizeof(head);
}

static void put_message(struct written *w, unsigned char type, size_t len)
{
    const unsigned char head[] = {type, (unsigned char)(len >> 16), (unsigned char)(len >> 8),
                                  (unsigned char)len};

    memcpy(w->bytes + w->len, head, sizeof(head));
    w->len += sizeof(head);
}

static void put_body(struct written *w, size_t len)
{
    memset(w->bytes + w->len, 0x5A, len);
    w->len += len;
}

/* A hello over two records, one that says nothing of the handshake, a message of another kind, and
 * the header of a second hello of so many bytes, cut by the record's end. */
static struct written hellos(size_t second)
{
    struct written w = {.len = 0};

    put_record(&w, 22, 4 + 60);
    put_message(&w, 1, 100);
    put_body(&w, 60);
    put_record(&w, 22, 40);
    put_body(&w, 40);
    put_record(&w, 20, 1);
    put_body(&w, 1);
    put_record(&w, 22, 4 + 50 + 2);
    put_message(&w, 11, 50);
    put_body(&w, 50);
    w.bytes[w.len++] = 1;
    w.bytes[w.len++] = (unsigned char)(second >> 16);
    put_record(&w, 22, 2 + 10);
    w.bytes[w.len++] = (unsigned char)(second >> 8);
    w.bytes[w.len++] = (unsigned char)second;
    put_body(&w, 10);
    return w;
}

/* Reads all that it gives; returns how much that is. */
static size_t read_all(const struct written *w, size_t at_once, bool *is_too_long)
{
    BIO_METHOD *method = source_bio_method_new();
    struct memory_pipe in;
    struct memory_pipe out;
    struct memory_source source;
    struct source_link link;
    char buf[sizeof(w->bytes)];
    size_t total = 0;
    size_t got;
    BIO *bio;

    memory_pipe_init(&in, sizeof(w->bytes));
    memory_pipe_init(&out, sizeof(w->bytes));
    memory_pipe_put(&in, w->bytes, w->len);
    memory_source_init(&source, &in, &out);
    source.read_max = at_once;
    source_link_init(&link, &source.base, false);
    bio = source_bio_new(method, &link);
    assert_non_null(bio);
    while (BIO_read_ex(bio, buf, sizeof(buf), &got) == 1) {
        total += got;
    }
    *is_too_long = link.is_too_long;
    BIO_free(bio);
    BIO_meth_free(method);
    memory_pipe_fini(&in);
    memory_pipe_fini(&out);
    return total;
}

static void test_length_of_any_hello_is_judged(void **state)
{
    const struct written longest = hellos(HELLO_LONGEST);
    const struct written longer = hellos(HELLO_LONGEST + 1);

    (void)state;
    for (size_t at_once = 1; at_once <= longest.len; at_once++) {
        bool is_too_long;

        assert_int_equal(read_all(&longest, at_once, &is_too_long), longest.len);
        assert_false(is_too_long);
        /* Not a byte of the read that shows it reaches the library. */
        assert_true(read_all(&longer, at_once, &is_too_long) < longer.len - 10);
        assert_true(is_too_long);
    }
}

/* From there on what looks like a hello's length is none. */
static void test_encrypted_records_are_not_judged(void **state)
{
    struct written w = {.len = 0};
    bool is_too_long;

    (void)state;
    put_record(&w, 22, 4 + 60);
    put_message(&w, 1, 60);
    put_body(&w, 60);
    put_record(&w, 23, 4);
    put_message(&w, 1, HELLO_LONGEST + 1);
    put_record(&w, 22, 4);
    put_message(&w, 1, HELLO_LONGEST + 1);
    for (size_t at_once = 1; at_once <= w.len; at_once++) {
        assert_int_equal(read_all(&w, at_once, &is_too_long), w.len);
        assert_false(is_too_long);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_of_any_hello_is_judged),
        cmocka_unit_test(test_encrypted_records_are_not_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
