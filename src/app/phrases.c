/* Phrases: every text of the conversation that a program prints on stdout.
 *
 * The Chinese ones are the document's, byte for byte. Constants with their lengths, because the
 * transcript copies them once a message. Any thread. */
#include "app/phrases.h"

#define PHRASE(literal)                                                                            \
    {                                                                                              \
        .text = (literal), .len = sizeof(literal) - 1                                              \
    }

const char *const phrases_names[PHRASES_LANGUAGES] = {"zh", "en"};

static const struct phrases languages[PHRASES_LANGUAGES] = {
    {
        .waiting = PHRASE("等待客户端连接..."),
        .connected = PHRASE("已连接客户端："),
        .message = PHRASE("收到消息："),
        .prompt = PHRASE("请输入消息（输入 'exit' 退出）: "),
        .reply = PHRASE("收到回应："),
    },
    {
        .waiting = PHRASE("Waiting for a client..."),
        .connected = PHRASE("Client connected: "),
        .message = PHRASE("Message received: "),
        .prompt = PHRASE("Enter a message ('exit' to leave): "),
        .reply = PHRASE("Reply received: "),
    },
};

const struct phrases *phrases_get(size_t i)
{
    return &languages[i];
}
