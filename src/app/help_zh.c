/* The catalogue of help_zh.h. It stands beside the tables of options, not in them, so that a row is
 * read on one line. Any thread. */
#include "app/help_zh.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *english;
    const char *chinese;
} texts[] = {
    /* groups */
    {"Serving:", "服务："},
    {"The conversation on stdout or in a file, the log on stderr:",
     "stdout 或文件里的对话记录，stderr 上的日志："},
    {"Storing messages:", "存储消息："},
    {"Storing (refused by this plaintext build):", "存储（此明文版本不支持）："},
    {"Certificates:", "证书："},
    {"Certificates (refused by this plaintext build):", "证书（此明文版本不支持）："},
    {"TLS:", "TLS："},
    {"TLS (refused by this plaintext build):", "TLS（此明文版本不支持）："},
    {"Limits (SECS may be decimal; 0: no limit):", "限制（SECS 可为小数；0 表示不限）："},
    {"Other:", "其他："},
    {"Messages:", "消息："},
    {"Which server to trust (else the system's CAs decide):",
     "信任哪个服务器（默认由系统的 CA 决定）："},
    {"Which server to trust (refused by this plaintext build):",
     "信任哪个服务器（此明文版本不支持）："},

    /* both */
    {"language of the texts (the locale's)", "界面语言（默认依区域设置）"},
    {"its private key, if FILE of --cert has none", "私钥，若 --cert 的文件里没有"},
    {"oldest TLS version to accept (1.2)", "接受的最低 TLS 版本（1.2）"},
    {"append session keys, for debugging", "追加会话密钥，供调试"},
    {"pad TLS 1.3 records to a multiple of BYTES (0)", "把 TLS 1.3 记录填充到 BYTES 的倍数（0）"},
    {"long options, one a line, as 'name value'", "长选项的文件，每行一个“名称 值”"},
    {"print this help", "显示本帮助"},
    {"print the version and the TLS library", "显示版本和 TLS 库"},

    /* the server */
    {"repeatable; port 0: a free one (127.0.0.1:12345)",
     "可重复；端口 0 为任一空闲端口（127.0.0.1:12345）"},
    {"serve N conversations, 0: no end (TLS 0, else 1)",
     "服务 N 次对话，0 不限（TLS 为 0，否则 1）"},
    {"threads (TLS: one per processor; else 1)", "线程数（TLS 为处理器数，否则 1）"},
    {"the reply; {message} stands for the message", "回应的模板，{message} 处填入消息"},
    {"most bytes of a receive (TLS: 16384; else 1024)",
     "一次接收的最多字节（TLS 16384，否则 1024）"},
    {"format of the transcript (text)", "对话记录的格式（text）"},
    {"append it here (SIGHUP reopens it)", "追加到此文件（SIGHUP 重新打开）"},
    {"print no transcript", "不输出对话记录"},
    {"error, warning, info or debug (warning)", "error、warning、info 或 debug（warning）"},
    {"format of the log (text)", "日志的格式（text）"},
    {"keep messages before replying: a file or a URL", "回应之前先存储消息：文件或 URL"},
    {"delete older messages, such as 90d (keep all)", "删除更早的消息，如 90d（全部保留）"},
    {"refuse messages below this free space (64 MiB)", "剩余空间低于此值时拒收消息（64 MiB）"},
    {"wait for a store that is unavailable (5)", "存储暂不可用时等待的时限（5）"},
    {"certificate and its chain (PEM); repeatable", "证书及其证书链（PEM），可重复"},
    {"file whose first line is the keys' password", "文件首行是私钥的密码"},
    {"require client certificates, signed by these CAs", "要求客户端证书，由这些 CA 签发"},
    {"revocation lists (CRL) of client certificates", "客户端证书的吊销列表（CRL）"},
    {"accept this client only; repeatable", "只接受此客户端，可重复"},
    {"file with such names, one per line", "写有此类名称的文件，每行一个"},
    {"session ticket keys, to share among servers", "会话票据密钥，供多台服务器共用"},
    {"longest handshake (10)", "握手的最长时间（10）"},
    {"memory for all messages together (268435456)", "所有消息合计的内存（268435456）"},
    {"drop a peer that has been gone for SECS (120)", "断开失联 SECS 秒的对端（120）"},
    {"longest numbered message (1048576)", "编号消息的最大长度（1048576）"},
    {"numbered messages unanswered at once (256)", "同时未回应的编号消息数（256）"},
    {"connections at once (0: as descriptors allow)", "同时的连接数（0 为描述符所允许）"},
    {"connections at once from one address (0)", "同一地址的同时连接数（0）"},
    {"unfinished handshakes at once (0)", "同时未完成的握手数（0）"},
    {"new connections per second and address (0)", "每地址每秒的新连接数（0）"},
    {"close a client that sends nothing for SECS (0)", "断开 SECS 秒不发消息的客户端（0）"},
    {"close a client that takes no reply for SECS (30)", "断开 SECS 秒不收回应的客户端（30）"},
    {"when stopping, wait for unsent replies (5)", "停止时等待未发出的回应（5）"},
    {"write Prometheus metrics here every 5 seconds", "每 5 秒写入 Prometheus 指标"},
    {"switch to this user before serving", "服务之前切换到此用户"},
    {"check options and files, then exit", "检查选项和文件后退出"},

    /* the client */
    {"send FILE as one message (-: stdin)", "把 FILE 作为一条消息发送（-：stdin）"},
    {"store each line once, however often it is sent", "无论发送多少遍，每行只存一次"},
    {"keep messages in FILE until they are delivered", "把消息存入此文件，直到送达"},
    {"how long to try to connect again (30; 0: never)", "断线后重连的时限（30；0 表示不重连）"},
    {"messages in flight at once (the server's limit)", "同时未回应的消息数（以服务器为限）"},
    {"one at a time, without tlsmsg/1", "一次一条，不用 tlsmsg/1"},
    {"send TEXT instead of stdin; repeatable", "发送 TEXT，不读 stdin，可重复"},
    {"print replies only, one per line", "只输出回应，每行一条"},
    {"print details of the connection on stderr", "在 stderr 上显示连接详情"},
    {"format of replies, and of --probe (text)", "回应和 --probe 的格式（text）"},
    {"to connect, and for each reply (10; 0: no limit)", "连接及等待每条回应的时限（10；0 不限）"},
    {"drop a server that has been gone for SECS (120)", "断开失联 SECS 秒的服务器（120）"},
    {"trust these CAs instead of the system's", "信任这些 CA，而非系统的 CA"},
    {"revocation lists (CRL)", "吊销列表（CRL）"},
    {"trust a server with this key; repeatable", "信任持有此公钥的服务器，可重复"},
    {"remember servers' keys; ask about a new server", "记住服务器的公钥，遇到新服务器时询问"},
    {"... and remember a new server without asking", "……且不经询问就记住新服务器"},
    {"file of the remembered keys", "记录公钥的文件"},
    {"the server's name in its certificate (HOST)", "服务器证书里的名称（HOST）"},
    {"show its certificates and whether it is trusted", "显示其证书以及是否可信"},
    {"the client's certificate and its chain (PEM)", "客户端的证书及其证书链（PEM）"},
    {"file whose first line is the key's password", "文件首行是私钥的密码"},
    {"At a terminal lines can be edited, with a history (libedit).\n",
     "在终端上可以编辑行，并有历史记录（libedit）。\n"},
};

const char *help_in_chinese(const char *english)
{
    size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].english, english) == 0) {
            return texts[i].chinese;
        }
    }
    return NULL;
}
