/* Phrases: every text of the conversation that a program prints on stdout.
 *
 * The Chinese ones are the document's, byte for byte. Constants with their lengths, because the
 * transcript copies them once a message. Any thread. */
#include "app/phrases.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/build.h"

#define PHRASE(literal)                                                                            \
    {                                                                                              \
        .text = (literal), .len = sizeof(literal) - 1                                              \
    }

enum { PHRASES_ZH, PHRASES_EN };

const char *const phrases_names[PHRASES_LANGUAGES] = {"zh", "en"};

static const struct phrases languages[PHRASES_LANGUAGES] = {
    [PHRASES_ZH] =
        {
            .waiting = PHRASE("等待客户端连接..."),
            .connected = PHRASE("已连接客户端："),
            .message = PHRASE("收到消息："),
            .prompt = PHRASE("请输入消息（输入 'exit' 退出）: "),
            .reply = PHRASE("收到回应："),
        },
    [PHRASES_EN] =
        {
            .waiting = PHRASE("Waiting for a client..."),
            .connected = PHRASE("Client connected: "),
            .message = PHRASE("Message received: "),
            .prompt = PHRASE("Enter a message ('exit' to leave): "),
            .reply = PHRASE("Reply received: "),
        },
};

/* As setlocale(3) chooses: the first that is set and not empty. */
static const char *locale_of_messages(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    const char *value;
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        value = getenv(names[i]);
        if (value != NULL && *value != '\0') {
            return value;
        }
    }
    return "C";
}

size_t phrases_default(void)
{
    const char *locale = locale_of_messages();
    bool is_none =
        strcmp(locale, "C") == 0 || strncmp(locale, "C.", 2) == 0 || strcmp(locale, "POSIX") == 0;

    return !BUILD_HAS_TLS || is_none || strncmp(locale, "zh", 2) == 0 ? PHRASES_ZH : PHRASES_EN;
}

const struct phrases *phrases_get(size_t i)
{
    return &languages[i];
}
