/* Phrases: every text of the conversation that a program prints on stdout, and
 * what a client says at a terminal.
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

#define RULE "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n"
#define LOUD(warning, meaning) RULE warning "\n" RULE meaning "\n"

const char *const phrases_names[PHRASES_LANGUAGES] = {"zh", "en"};

static const struct phrases languages[PHRASES_LANGUAGES] = {
    [PHRASES_ZH] =
        {
            .waiting = PHRASE("等待客户端连接..."),
            .connected = PHRASE("已连接客户端："),
            .message = PHRASE("收到消息："),
            .prompt = PHRASE("请输入消息（输入 'exit' 退出）: "),
            .reply = PHRASE("收到回应："),
            .connected_to = "已连接 ",
            .encrypted_with = "，已加密：",
            .verified_by = "，验证依据：",
            .by_system = "系统信任的 CA",
            .by_pin = "指定的公钥（--pin）",
            .by_record = "首次使用时记录的公钥",
            .both = " 和",
            .new_server = {.unknown = "首次连接服务器 ",
                           .pin = "。\n  公钥  ",
                           .names = "\n  名称  ",
                           .until = "\n  期限  ",
                           .compare = "\n请在服务器上运行 ",
                           .trust = " show 核对公钥。\n从现在起信任这个公钥吗？",
                           .again = "请输入 'yes' 或 'no'："},
            .key_changed = LOUD("             警告：服务器的公钥已改变！",
                                "可能有人冒充服务器（中间人攻击）。未发送任何消息。"),
        },
    [PHRASES_EN] =
        {
            .waiting = PHRASE("Waiting for a client..."),
            .connected = PHRASE("Client connected: "),
            .message = PHRASE("Message received: "),
            .prompt = PHRASE("Enter a message ('exit' to leave): "),
            .reply = PHRASE("Reply received: "),
            .connected_to = "connected to ",
            .encrypted_with = ", encrypted with ",
            .verified_by = ", verified by ",
            .by_system = "this system's CAs",
            .by_pin = "its pin",
            .by_record = "its key's record of first use",
            .both = " and ",
            .new_server = {.unknown = "Server ",
                           .pin = " is not known yet.\n  pin    ",
                           .names = "\n  names  ",
                           .until = "\n  until  ",
                           .compare = "\nCompare the pin with ",
                           .trust = " show on the server.\nTrust this key from now on?",
                           .again = "Type 'yes' or 'no': "},
            .key_changed =
                LOUD("         WARNING: THE KEY OF THE SERVER HAS CHANGED!",
                     "Somebody may be in between (man in the middle). Nothing was sent."),
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

static bool is_chinese(const char *locale)
{
    return strncmp(locale, "zh", 2) == 0;
}

size_t phrases_default_for_help(void)
{
    return is_chinese(locale_of_messages()) ? PHRASES_ZH : PHRASES_EN;
}

size_t phrases_default(void)
{
    const char *locale = locale_of_messages();
    bool is_none =
        strcmp(locale, "C") == 0 || strncmp(locale, "C.", 2) == 0 || strcmp(locale, "POSIX") == 0;

    return !BUILD_HAS_TLS || is_none || is_chinese(locale) ? PHRASES_ZH : PHRASES_EN;
}

const struct phrases *phrases_get(size_t i)
{
    return &languages[i];
}
