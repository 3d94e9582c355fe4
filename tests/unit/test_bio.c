/* The BIO over a byte source: how it watches over a ClientHello's length, however the bytes come. */
#include <errno.h>
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

/* A message of 64 KiB is passed over to its very end, over records, and what follows it is judged. */
static void test_a_long_message_is_passed_over(void **state)
{
    enum { RECORD = 16384, LEN = 65536 };
    static unsigned char bytes[LEN + 64];
    static const unsigned char head[] = {11, LEN >> 16, 0, 0};
    static const unsigned char hello[] = {1, 0, 0x80, 0x01}; /* one byte over the longest */

    (void)state;
    for (unsigned with_hello = 0; with_hello < 2; with_hello++) {
        BIO_METHOD *method = source_bio_method_new();
        struct memory_pipe in;
        struct memory_pipe out;
        struct memory_source source;
        struct source_link link;
        size_t total = sizeof(head) + LEN + (with_hello ? sizeof(hello) : 0);
        char buf[1024];
        size_t got;
        BIO *bio;

        memcpy(bytes, head, sizeof(head));
        memcpy(bytes + sizeof(head) + LEN, hello, sizeof(hello));
        memory_pipe_init(&in, LEN + 1024);
        memory_pipe_init(&out, 16);
        for (size_t at = 0; at < total; at += RECORD) {
            size_t len = total - at < RECORD ? total - at : RECORD;
            const unsigned char record[] = {22, 3, 3, (unsigned char)(len >> 8),
                                            (unsigned char)len};

            memory_pipe_put(&in, record, sizeof(record));
            memory_pipe_put(&in, bytes + at, len);
        }
        memory_source_init(&source, &in, &out);
        source_link_init(&link, &source.base, false);
        bio = source_bio_new(method, &link);
        while (BIO_read_ex(bio, buf, sizeof(buf), &got) == 1) {
        }
        assert_int_equal(link.is_too_long, with_hello);
        BIO_free(bio);
        BIO_meth_free(method);
        memory_pipe_fini(&in);
        memory_pipe_fini(&out);
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

/* --- a BIO over a source that a test moves by hand ------------------------------------------------ */

struct scene {
    BIO_METHOD *method;
    struct memory_pipe in;
    struct memory_pipe out;
    struct memory_source source;
    struct source_link link;
    BIO *bio;
};

static void begin(struct scene *s, bool is_client)
{
    s->method = source_bio_method_new();
    memory_pipe_init(&s->in, 1024);
    memory_pipe_init(&s->out, 8);
    memory_source_init(&s->source, &s->in, &s->out);
    source_link_init(&s->link, &s->source.base, is_client);
    s->bio = source_bio_new(s->method, &s->link);
    assert_non_null(s->bio);
}

static void end(struct scene *s)
{
    BIO_free(s->bio);
    BIO_meth_free(s->method);
    memory_pipe_fini(&s->in);
    memory_pipe_fini(&s->out);
}

/* Finds nothing, which looks to OpenSSL like something that may come. */
static void expect_nothing(struct scene *s, unsigned source_calls)
{
    unsigned calls = s->source.calls;
    char buf[64];
    size_t got = 99;

    assert_int_equal(BIO_read_ex(s->bio, buf, sizeof(buf), &got), 0);
    assert_int_equal(got, 0);
    assert_true(BIO_should_read(s->bio));
    assert_true(BIO_should_retry(s->bio));
    assert_int_equal(s->source.calls, calls + source_calls);
}

static void test_what_ends_a_read_ends_all(void **state)
{
    static const int errors[] = {0, ECONNRESET}; /* 0: the end of the file */
    char buf[64];
    size_t got;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct scene s;

        begin(&s, true);
        assert_false(s.link.heard);
        expect_nothing(&s, 1);
        memory_pipe_put(&s.in, "\x16\x03", 2);
        assert_int_equal(BIO_read_ex(s.bio, buf, sizeof(buf), &got), 1);
        assert_int_equal(got, 2);
        assert_false(BIO_should_retry(s.bio));
        assert_true(s.link.heard);
        assert_int_equal(s.link.peer, LINK_PEER_TLS);
        s.in.cut_at = 2;
        s.in.cut_errno = errors[i];
        expect_nothing(&s, 1);
        assert_int_equal(s.link.eof, errors[i] == 0);
        assert_int_equal(s.link.read_errno, errors[i]);
        s.in.cut_at = MEMORY_NEVER;
        memory_pipe_put(&s.in, "more", 4);
        expect_nothing(&s, 0);
        end(&s);
    }
}

/* A client is sent none: whatever a server sends, the library judges. */
static void test_a_client_watches_no_hello(void **state)
{
    struct written w = {.len = 0};
    struct scene s;
    char buf[64];
    size_t got;

    (void)state;
    put_record(&w, 22, 4);
    put_message(&w, 1, HELLO_LONGEST + 1);
    begin(&s, true);
    memory_pipe_put(&s.in, w.bytes, w.len);
    assert_int_equal(BIO_read_ex(s.bio, buf, sizeof(buf), &got), 1);
    assert_int_equal(got, w.len);
    assert_false(s.link.is_too_long);
    end(&s);
}

static enum byte_result fail_silently(struct byte_source *source, void *buf, size_t cap,
                                      size_t *got)
{
    (void)source;
    (void)buf;
    (void)cap;
    *got = 0;
    return BYTE_ERROR;
}

static enum byte_result put_silently(struct byte_source *source, const void *buf, size_t len,
                                     bool more, size_t *put)
{
    (void)source;
    (void)buf;
    (void)len;
    (void)more;
    *put = 0;
    return BYTE_ERROR;
}

/* A failure that has no number is one all the same. */
static void test_a_source_that_does_not_say_why(void **state)
{
    struct scene s;
    size_t put = 0;

    (void)state;
    begin(&s, true);
    s.source.base.read = fail_silently;
    s.source.base.write = put_silently;
    expect_nothing(&s, 0);
    assert_int_equal(s.link.read_errno, EIO);
    assert_int_equal(BIO_write_ex(s.bio, "abc", 3, &put), 1);
    assert_int_equal(put, 3);
    assert_int_equal(s.link.write_errno, EPIPE);
    end(&s);
}

static void test_a_stranger_is_kept_away(void **state)
{
    static const struct {
        const char *bytes;
        bool is_client;
        enum link_peer peer;
    } rows[] = {
        {"\x16", false, LINK_PEER_TLS},
        {"\x16", true, LINK_PEER_TLS},
        {"\x15", true, LINK_PEER_TLS},
        {"\x15", false, LINK_PEER_PLAINTEXT},
        {"\x17", true, LINK_PEER_PLAINTEXT},
        {"\x14", true, LINK_PEER_PLAINTEXT},
        {"GET ", false, LINK_PEER_HTTP},
        {"GET", false, LINK_PEER_PLAINTEXT},
        {"HEAD ", false, LINK_PEER_HTTP},
        {"POST /", false, LINK_PEER_HTTP},
        {"PUT ", false, LINK_PEER_HTTP},
        {"DELETE ", false, LINK_PEER_HTTP},
        {"PATCH ", false, LINK_PEER_HTTP},
        {"TRACE", false, LINK_PEER_HTTP},
        {"OPTIONS *", false, LINK_PEER_HTTP},
        {"CONNECT a", false, LINK_PEER_HTTP},
        {"PRI * HTTP/2.0", false, LINK_PEER_HTTP},
        {"HTTP/1.1 400", true, LINK_PEER_HTTP},
        {"HTTP", true, LINK_PEER_PLAINTEXT},
        {"hello", false, LINK_PEER_PLAINTEXT},
        {"get / HTTP", false, LINK_PEER_PLAINTEXT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scene s;
        char buf[64];
        size_t got;

        begin(&s, rows[i].is_client);
        memory_pipe_put(&s.in, rows[i].bytes, strlen(rows[i].bytes));
        if (rows[i].peer == LINK_PEER_TLS) {
            assert_int_equal(BIO_read_ex(s.bio, buf, sizeof(buf), &got), 1);
            assert_int_equal(got, strlen(rows[i].bytes));
        } else {
            expect_nothing(&s, 1);
        }
        assert_int_equal(s.link.peer, rows[i].peer);
        assert_true(s.link.heard);
        memory_pipe_put(&s.in, "HTTP/", 5); /* the first bytes have decided */
        if (rows[i].peer == LINK_PEER_TLS) {
            assert_int_equal(BIO_read_ex(s.bio, buf, sizeof(buf), &got), 1);
        } else {
            expect_nothing(&s, 0);
        }
        assert_int_equal(s.link.peer, rows[i].peer);
        end(&s);
    }
}

static void test_a_muted_link_asks_for_nothing(void **state)
{
    struct scene s;
    char buf[64];
    size_t got = 99;

    (void)state;
    begin(&s, false);
    memory_pipe_put(&s.in, "\x16\x03", 2);
    s.link.muted = true;
    expect_nothing(&s, 0);
    s.link.muted = false;
    assert_int_equal(BIO_read_ex(s.bio, buf, 0, &got), 0);
    assert_int_equal(got, 0);
    assert_int_equal(s.source.calls, 0);
    assert_int_equal(BIO_read_ex(s.bio, buf, 1, &got), 1);
    assert_int_equal(got, 1);
    end(&s);
}

static void test_writes(void **state)
{
    struct scene s;
    size_t put = 99;

    (void)state;
    begin(&s, true);
    s.link.cork = true;
    assert_int_equal(BIO_write_ex(s.bio, "abcde", 5, &put), 1);
    assert_int_equal(put, 5);
    assert_int_equal(s.out.corked, 1);
    assert_false(s.link.cork);
    assert_int_equal(BIO_write_ex(s.bio, "fghij", 5, &put), 1); /* as many as there is room for */
    assert_int_equal(put, 3);
    assert_int_equal(s.out.corked, 1);
    s.link.cork = true;
    assert_int_equal(BIO_write_ex(s.bio, "ij", 2, &put), 0);
    assert_int_equal(put, 0);
    assert_true(BIO_should_write(s.bio));
    assert_true(BIO_should_retry(s.bio));
    assert_true(s.link.cork); /* until it has left */
    assert_memory_equal(s.out.data, "abcdefgh", 8);

    /* What fails counts as sent, and so does all that follows, without another try. */
    s.source.write_errno = ECONNRESET;
    assert_int_equal(BIO_write_ex(s.bio, "ij", 2, &put), 1);
    assert_int_equal(put, 2);
    assert_false(BIO_should_retry(s.bio));
    assert_int_equal(s.link.write_errno, ECONNRESET);
    s.source.write_errno = 0;
    s.out.cap = 100;
    assert_int_equal(BIO_write_ex(s.bio, "klm", 3, &put), 1);
    assert_int_equal(put, 3);
    assert_int_equal(s.out.total, 8);
    assert_int_equal(s.link.write_errno, ECONNRESET);
    assert_int_equal(BIO_flush(s.bio), 1);
    assert_int_equal(BIO_pending(s.bio), 0);
    assert_int_equal(BIO_wpending(s.bio), 0);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_of_any_hello_is_judged),
        cmocka_unit_test(test_a_long_message_is_passed_over),
        cmocka_unit_test(test_encrypted_records_are_not_judged),
        cmocka_unit_test(test_what_ends_a_read_ends_all),
        cmocka_unit_test(test_a_client_watches_no_hello),
        cmocka_unit_test(test_a_source_that_does_not_say_why),
        cmocka_unit_test(test_a_stranger_is_kept_away),
        cmocka_unit_test(test_a_muted_link_asks_for_nothing),
        cmocka_unit_test(test_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
