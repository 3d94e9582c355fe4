/* Parses the command line: see options.h. Every number has a range, so that no later code meets a
 * zero or an overflow. */
#include "options.h"

#include "frames.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: tlsmsg-bench MODE [OPTION]... HOST:PORT\n"
    "Loads a server that gives the document's reply, and checks every byte of it.\n"
    "\n"
    "Modes\n"
    "  message    C connections, each sends D messages and awaits their replies, again and again\n"
    "  handshake  C at a time: connect, TLS handshake, one message and its reply, orderly close\n"
    "  idle       C connections are held after one message each; memory per connection, of a\n"
    "             freshly started server (one that held many before uses that memory again)\n"
    "Work\n"
    "  -c, --connections C   (64; idle 2000; handshake 8)\n"
    "  -d, --depth D         messages in flight per connection, a record each, one write (1)\n"
    "  -s, --size S          bytes of a message, 1..16348, with --numbered to 64 MiB (64)\n"
    "  -t, --seconds T       measured time (3)\n"
    "  -w, --warmup T        time before it that does not count (0.5)\n"
    "      --messages N      message mode: exactly N messages, no warm-up, instead of a time\n"
    "      --handshakes N    handshake mode: exactly N, no warm-up, instead of a time\n"
    "      --resume          handshake mode: resume the session of the connection before\n"
    "      --min-resumed F   fail when a smaller fraction was resumed (0.99)\n"
    "      --active A        idle mode: A of the connections then talk for the measured time (0)\n"
    "      --settle T        idle mode: wait before memory is read (1)\n"
    "  -n, --numbered        tlsmsg/1: each message in a frame, each reply's frame checked\n"
    "      --producer        the same, each connection under a name of its own\n"
    "Transport\n"
    "      --plain           TCP without TLS\n"
    "      --tls 1.2|1.3     the only version offered (1.3)\n"
    "      --cipher NAME     the only cipher offered (AES-128-GCM)\n"
    "      --groups LIST     (X25519; with 1.2 X25519:P-256, which the certificate needs)\n"
    "      --mqtt            message mode: PUBLISH at QoS 1 to an MQTT broker, and its PUBACK\n"
    "      --nats            message mode: PUB to a NATS stream in files, and its acknowledgement\n"
    "      --any-cut         the server may join or split messages (the plaintext server does)\n"
    "      --sources N       connect from N addresses 127.0.0.x (as many as ports require)\n"
    "      --timeout T       a connection without progress for T seconds is an error (10)\n"
    "Result\n"
    "  -p, --server-pid PID  add CPU and memory of this process and its children; repeatable\n"
    "  -j, --json            one line of JSON\n"
    "  -h, --help\n"
    "Exit: 0 all replies right, 1 errors or too few resumed, 2 usage. The server's certificate\n"
    "chain is not judged: this is a load program, not a client to trust.\n";

enum long_only {
    OPT_MESSAGES = 256,
    OPT_PRODUCER,
    OPT_HANDSHAKES,
    OPT_RESUME,
    OPT_MIN_RESUMED,
    OPT_ACTIVE,
    OPT_SETTLE,
    OPT_PLAIN,
    OPT_TLS,
    OPT_CIPHER,
    OPT_GROUPS,
    OPT_ANY_CUT,
    OPT_MQTT,
    OPT_NATS,
    OPT_SOURCES,
    OPT_TIMEOUT
};

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"depth", required_argument, NULL, 'd'},
    {"size", required_argument, NULL, 's'},
    {"seconds", required_argument, NULL, 't'},
    {"warmup", required_argument, NULL, 'w'},
    {"messages", required_argument, NULL, OPT_MESSAGES},
    {"handshakes", required_argument, NULL, OPT_HANDSHAKES},
    {"resume", no_argument, NULL, OPT_RESUME},
    {"min-resumed", required_argument, NULL, OPT_MIN_RESUMED},
    {"active", required_argument, NULL, OPT_ACTIVE},
    {"settle", required_argument, NULL, OPT_SETTLE},
    {"numbered", no_argument, NULL, 'n'},
    {"producer", no_argument, NULL, OPT_PRODUCER},
    {"plain", no_argument, NULL, OPT_PLAIN},
    {"tls", required_argument, NULL, OPT_TLS},
    {"cipher", required_argument, NULL, OPT_CIPHER},
    {"groups", required_argument, NULL, OPT_GROUPS},
    {"any-cut", no_argument, NULL, OPT_ANY_CUT},
    {"mqtt", no_argument, NULL, OPT_MQTT},
    {"nats", no_argument, NULL, OPT_NATS},
    {"sources", required_argument, NULL, OPT_SOURCES},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"server-pid", required_argument, NULL, 'p'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

const char *bench_mode_name(enum bench_mode mode)
{
    static const char *const names[] = {"message", "handshake", "idle"};

    return names[mode];
}

static bool parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned long long value;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    value = strtoull(text, &end, 10);
    if (*end != '\0' || value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

static bool parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value;

    if (!parse_count(text, min, max, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool parse_seconds(const char *text, double min, double *out)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= min && value <= 86400.0)) {
        return false;
    }
    *out = value;
    return true;
}

static bool parse_size(const char *text, size_t *out)
{
    uint64_t value;

    if (!parse_count(text, 1, FRAMES_SIZE_MAX, &value)) {
        return false;
    }
    *out = (size_t)value;
    return true;
}

static bool parse_pid(struct bench_options *o, const char *text)
{
    uint64_t value;

    if (o->server_pid_count == BENCH_SERVER_PIDS_MAX || !parse_count(text, 1, 1u << 30, &value)) {
        return false;
    }
    o->server_pids[o->server_pid_count++] = (pid_t)value;
    return true;
}

static bool parse_target(struct bench_options *o, const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t len;

    if (colon == NULL) {
        return false;
    }
    len = (size_t)(colon - text);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof o->host || colon[1] == '\0' ||
        strlen(colon + 1) >= sizeof o->port) {
        return false;
    }
    memcpy(o->host, host, len);
    o->host[len] = '\0';
    memcpy(o->port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static bool parse_mode(struct bench_options *o, const char *text)
{
    enum bench_mode mode;

    for (mode = BENCH_MESSAGE; mode <= BENCH_IDLE; mode++) {
        if (strcmp(text, bench_mode_name(mode)) == 0) {
            o->mode = mode;
            return true;
        }
    }
    return false;
}

static bool parse_tls(struct bench_options *o, const char *text)
{
    o->tls12 = strcmp(text, "1.2") == 0;
    return o->tls12 || strcmp(text, "1.3") == 0;
}

static bool apply_flag(struct bench_options *o, int id)
{
    switch (id) {
    case OPT_RESUME:
        o->resume = true;
        return true;
    case OPT_PRODUCER:
        o->producer = true;
        o->numbered = true;
        return true;
    case 'n':
        o->numbered = true;
        return true;
    case OPT_PLAIN:
        o->plain = true;
        return true;
    case OPT_ANY_CUT:
        o->any_cut = true;
        return true;
    case OPT_MQTT:
        o->mqtt = true;
        return o->mode == BENCH_MESSAGE;
    case OPT_NATS:
        o->nats = true;
        return o->mode == BENCH_MESSAGE;
    case 'j':
        o->json = true;
        return true;
    default:
        return false;
    }
}

static bool apply(struct bench_options *o, int id, const char *value)
{
    switch (id) {
    case 'c':
        return parse_u32(value, 1, 1000000, &o->connections);
    case 'd':
        return parse_u32(value, 1, 4096, &o->depth);
    case 's':
        return parse_size(value, &o->size);
    case 't':
        return parse_seconds(value, 0.01, &o->seconds);
    case 'w':
        return parse_seconds(value, 0, &o->warmup_s);
    case OPT_MESSAGES:
        return o->mode == BENCH_MESSAGE && parse_count(value, 1, 1ull << 40, &o->count);
    case OPT_HANDSHAKES:
        return o->mode == BENCH_HANDSHAKE && parse_count(value, 1, 1ull << 40, &o->count);
    case OPT_MIN_RESUMED:
        return parse_seconds(value, 0, &o->min_resumed) && o->min_resumed <= 1;
    case OPT_ACTIVE:
        return o->mode == BENCH_IDLE && parse_u32(value, 0, 1000000, &o->active);
    case OPT_SETTLE:
        return parse_seconds(value, 0, &o->settle_s);
    case OPT_TLS:
        return parse_tls(o, value);
    case OPT_CIPHER:
        o->cipher = value;
        return true;
    case OPT_GROUPS:
        o->groups = value;
        return true;
    case OPT_SOURCES:
        return parse_u32(value, 1, 250, &o->sources);
    case OPT_TIMEOUT:
        return parse_seconds(value, 0.1, &o->timeout_s);
    case 'p':
        return parse_pid(o, value);
    default:
        return apply_flag(o, id);
    }
}

static void set_defaults(struct bench_options *o)
{
    static const uint32_t connections[] = {64, 8, 2000};

    o->connections = connections[o->mode];
    o->depth = 1;
    o->size = 64;
    o->seconds = 3;
    o->warmup_s = 0.5;
    o->settle_s = 1;
    o->timeout_s = 10;
    o->min_resumed = 0.99;
}

/* What follows from the other options, and what does not go together. Returns the complaint. */
static const char *complete(struct bench_options *o)
{
    if (o->cipher == NULL) {
        o->cipher = o->tls12 ? "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
                             : "TLS_AES_128_GCM_SHA256";
    }
    if (o->groups == NULL) {
        o->groups = o->tls12 ? "X25519:P-256" : "X25519";
    }
    if (o->sources == 0) {
        o->sources = o->mode == BENCH_HANDSHAKE ? 16 : 1 + o->connections / 20000;
    }
    if (o->mode != BENCH_MESSAGE && o->depth != 1) {
        return "--depth is for message mode";
    }
    if (o->resume && (o->plain || o->mode != BENCH_HANDSHAKE)) {
        return "--resume is for handshake mode over TLS";
    }
    if (o->numbered && (o->plain || o->any_cut)) {
        return "--numbered is for TLS";
    }
    if ((int)o->mqtt + (int)o->nats + (int)o->numbered > 1) {
        return "--mqtt, --nats and --numbered exclude each other";
    }
    if (!o->numbered && o->size > MESSAGE_SIZE_MAX) {
        return "--size over 16348 needs --numbered";
    }
    if (o->active > o->connections) {
        return "--active is more than --connections";
    }
    return NULL;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
    const char *complaint;
    int id;

    *o = (struct bench_options){0};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return 0;
    }
    if (argc < 2 || !parse_mode(o, argv[1])) {
        fputs("tlsmsg-bench: the first word is message, handshake or idle (--help)\n", stderr);
        return 2;
    }
    set_defaults(o);
    argv[1] = argv[0];
    argc--;
    argv++;
    while ((id = getopt_long(argc, argv, "c:d:s:t:w:p:njh", long_options, NULL)) != -1) {
        if (id == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (id == '?' || !apply(o, id, optarg)) {
            fprintf(stderr, "tlsmsg-bench: bad option or value near '%s' (--help)\n",
                    argv[optind > 1 ? optind - 1 : 1]);
            return 2;
        }
    }
    if (optind != argc - 1 || !parse_target(o, argv[optind])) {
        fputs("tlsmsg-bench: one HOST:PORT is needed (--help)\n", stderr);
        return 2;
    }
    complaint = complete(o);
    if (complaint != NULL) {
        fprintf(stderr, "tlsmsg-bench: %s\n", complaint);
        return 2;
    }
    return -1;
}
