/* bench-memory: what TLS alone costs a server, without sockets. */
#include "frames.h"
#include "heap.h"
#include "memory.h"
#include "message.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bench-memory message|handshake|idle --cert FILE --key FILE [OPTION]...\n"
    "       bench-memory digest [OPTION]...\n"
    "Joins a TLS client and a TLS server in memory and measures the server's side.\n"
    "  message    CPU per message: one read a record, one write a batch\n"
    "  handshake  CPU per connection: handshake, one message and its reply, close\n"
    "  idle       heap per held connection\n"
    "  digest     CPU of SHA-256 of a message\n"
    "  -c, --connections C  (64; idle 500)     -d, --depth D  messages in a batch (1)\n"
    "  -s, --size S         (64)               -t, --seconds T  (1)\n"
    "      --units N            digest: exactly N instead of a time\n"
    "      --resume         --tls 1.2|1.3 (1.3)    -j, --json    -h, --help\n";

struct command {
    const char *mode;
    const char *cert;
    const char *key;
    bool tls12;
    bool json;
    struct memory_options options;
};

static const struct option long_options[] = {{"cert", required_argument, NULL, 'C'},
                                             {"key", required_argument, NULL, 'K'},
                                             {"connections", required_argument, NULL, 'c'},
                                             {"depth", required_argument, NULL, 'd'},
                                             {"size", required_argument, NULL, 's'},
                                             {"seconds", required_argument, NULL, 't'},
                                             {"resume", no_argument, NULL, 'R'},
                                             {"tls", required_argument, NULL, 'T'},
                                             {"units", required_argument, NULL, 'U'},
                                             {"json", no_argument, NULL, 'j'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static bool parse_u32(const char *text, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 1 || value > max) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool apply(struct command *c, int id, const char *value)
{
    uint32_t size;
    char *end;

    switch (id) {
    case 'C':
        c->cert = value;
        return true;
    case 'K':
        c->key = value;
        return true;
    case 'c':
        return parse_u32(value, 100000, &c->options.connections);
    case 'd':
        return parse_u32(value, 4096, &c->options.depth);
    case 's':
        if (!parse_u32(value, FRAMES_SIZE_MAX, &size)) {
            return false;
        }
        c->options.size = size;
        return true;
    case 't':
        c->options.seconds = strtod(value, &end);
        return *end == '\0' && c->options.seconds > 0 && c->options.seconds <= 3600;
    case 'U':
        return parse_u32(value, 1u << 30, &c->options.units);
    case 'R':
        c->options.resume = true;
        return true;
    case 'T':
        c->tls12 = strcmp(value, "1.2") == 0;
        return c->tls12 || strcmp(value, "1.3") == 0;
    case 'j':
        c->json = true;
        return true;
    default:
        return false;
    }
}

static int parse(struct command *c, int argc, char **argv)
{
    int id;

    *c = (struct command){.options = {.depth = 1, .size = 64, .seconds = 1}};
    while ((id = getopt_long(argc, argv, "c:d:s:t:jh", long_options, NULL)) != -1) {
        if (id == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (id == '?' || !apply(c, id, optarg)) {
            fputs("bench-memory: bad option or value (--help)\n", stderr);
            return 2;
        }
    }
    c->mode = optind == argc - 1 ? argv[optind] : "";
    if (strcmp(c->mode, "digest") == 0) {
        return -1;
    }
    if (*c->mode == '\0' || c->cert == NULL || c->key == NULL) {
        fputs("bench-memory: a mode, --cert and --key are needed (--help)\n", stderr);
        return 2;
    }
    if (c->options.size > MESSAGE_SIZE_MAX) {
        fputs("bench-memory: --size over 16348 is for digest\n", stderr);
        return 2;
    }
    if (c->options.connections == 0) {
        c->options.connections = strcmp(c->mode, "idle") == 0 ? 500 : 64;
    }
    return -1;
}

static int run(const struct command *c, const struct pair_setting *s, struct memory_result *out)
{
    if (strcmp(c->mode, "message") == 0) {
        return memory_messages(s, &c->options, out) ? 0 : 1;
    }
    if (strcmp(c->mode, "handshake") == 0) {
        return memory_handshakes(s, &c->options, out) ? 0 : 1;
    }
    if (strcmp(c->mode, "idle") == 0) {
        return memory_held(s, &c->options, out) ? 0 : 1;
    }
    fputs("bench-memory: the mode is message, handshake or idle (--help)\n", stderr);
    return 2;
}

static void print(const struct command *c, const struct memory_result *r)
{
    bool idle = strcmp(c->mode, "idle") == 0;
    const char *key = idle ? "kib_per_connection" : "server_cpu_us_per_unit";
    double value = idle ? r->kib_per_connection : r->server_cpu_us_per_unit;

    if (c->json) {
        printf("{\"mode\":\"%s\",\"connections\":%u,\"depth\":%u,\"size\":%zu,\"resume\":%s,"
               "\"units\":%" PRIu64 ",\"%s\":%.4f}\n",
               c->mode, c->options.connections, c->options.depth, c->options.size,
               c->options.resume ? "true" : "false", r->units, key, value);
    } else {
        printf("%-24s%" PRIu64 "\n%-24s%.4f\n", "units", r->units, key, value);
    }
}

int main(int argc, char **argv)
{
    struct command command;
    struct pair_setting setting = {0};
    struct memory_result result = {0};
    int code = parse(&command, argc, argv);

    if (code >= 0) {
        return code;
    }
    code = 1;
    if (strcmp(command.mode, "idle") == 0 && !heap_watch()) {
        fputs("bench-memory: OpenSSL's heap cannot be watched\n", stderr);
        return code;
    }
    if (strcmp(command.mode, "digest") == 0) {
        code = memory_digest(&command.options, &result) ? 0 : 1;
    } else if (pair_setting_init(&setting, command.cert, command.key, command.tls12)) {
        code = run(&command, &setting, &result);
    }
    if (code == 0) {
        print(&command, &result);
    }
    pair_setting_fini(&setting);
    return code;
}
