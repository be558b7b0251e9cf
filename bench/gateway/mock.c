// A provider of chat completions that costs next to nothing: one thread, epoll, answers made in advance.
//
//     mock PORT [DELAY_MS [EVENTS [INTERVAL_MS [CONTENT_BYTES]]]]
//
// A body with "stream":true gets EVENTS events, INTERVAL_MS apart; any other gets one JSON answer, after DELAY_MS.
// The answer names the model that was asked for. GET /stats says how many requests came, so that a gateway which
// claims to ask twice can be proved to.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 16, MODEL = 128, LONGEST = 1 << 20 };

typedef struct {
    int fd, streams, left, at;  // at: its place among those who wait, -1 if it is not there
    double due_ms;
    size_t size, room;
    char *in, model[MODEL];
} Client;

static Client *clients[MOST], *waiting[MOST];
static int waiting_count, delay_ms, events = 50;
static double interval_ms = 2;
static char *text;
static long requests, streams;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void put(Client *c, const char *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t sent = send(c->fd, data + done, size - done, MSG_NOSIGNAL);
        if (sent >= 0) done += sent;
        else if (errno == EAGAIN || errno == EINTR) usleep(50);
        else return;
    }
}

static void wait_for(Client *c, double due_ms) {
    c->due_ms = due_ms;
    if (c->at < 0) waiting[c->at = waiting_count++] = c;
}

static void wait_no_more(Client *c) {
    if (c->at < 0) return;
    waiting[c->at] = waiting[--waiting_count];
    waiting[c->at]->at = c->at;
    c->at = -1;
}

static void put_answer(Client *c) {
    static char body[1 << 17], out[1 << 18];
    int size = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null,"
        "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":312,"
        "\"completion_tokens\":401,\"total_tokens\":713,\"prompt_tokens_details\":{\"cached_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp_0a1b2c3d4e\"}",
        c->model, text);
    int whole = snprintf(out, sizeof out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: req_01\r\n\r\n%s",
        size, body);
    put(c, out, whole);
}

static void put_head(Client *c) {
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
                               "transfer-encoding: chunked\r\nx-request-id: req_01\r\n\r\n";
    put(c, head, sizeof head - 1);
}

static void put_event(Client *c) {
    static const char start[] = "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\","
                                "\"created\":1790000000,\"model\":\"";
    char event[2048], out[2200];
    int size, is_last = --c->left == 0;
    if (!is_last)
        size = snprintf(event, sizeof event,
            "%s%s\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" the quick brown\"},\"logprobs\":null,"
            "\"finish_reason\":null}],\"usage\":null}\n\n", start, c->model);
    else
        size = snprintf(event, sizeof event,
            "%s%s\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
            "%s%s\",\"choices\":[],\"usage\":{\"prompt_tokens\":312,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n"
            "data: [DONE]\n\n", start, c->model, start, c->model, events, 312 + events);
    int whole = snprintf(out, sizeof out, "%x\r\n%s\r\n%s", size, event, is_last ? "0\r\n\r\n" : "");
    put(c, out, whole);
}

static void read_model(Client *c, const char *body, size_t size) {
    const char *from = memmem(body, size, "\"model\":", 8), *to;
    strcpy(c->model, "none");
    if (!from) return;
    for (from += 8; *from == ' ' || *from == '"'; from++) {}
    to = memchr(from, '"', body + size - from);
    if (to && to - from < MODEL) snprintf(c->model, MODEL, "%.*s", (int)(to - from), from);
}

static void answer(Client *c, const char *head, const char *body, size_t size) {
    if (!strncmp(head, "GET /stats", 10)) {
        char said[96], out[256];
        int n = snprintf(said, sizeof said, "{\"requests\":%ld,\"streams\":%ld}", requests, streams);
        put(c, out, snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", n, said));
        return;
    }
    requests++;
    read_model(c, body, size);
    c->streams = memmem(body, size, "\"stream\":true", 13) || memmem(body, size, "\"stream\": true", 14);
    streams += c->streams;
    c->left = events;
    if (delay_ms) wait_for(c, now_ms() + delay_ms);
    else if (!c->streams) put_answer(c);
    else {
        put_head(c);
        put_event(c);
        if (c->left) wait_for(c, now_ms() + interval_ms);
    }
}

// The length of a body in chunks, which is written to `out`; -1 as long as it is not whole.
static long unchunked(const char *from, const char *end, char *out, size_t *size) {
    const char *at = from;
    for (*size = 0;;) {
        const char *line = memmem(at, end - at, "\r\n", 2);
        if (!line) return -1;
        long chunk = strtol(at, 0, 16);
        if (line + 4 + chunk > end || *size + chunk > LONGEST) return -1;
        memcpy(out + *size, line + 2, chunk);
        *size += chunk;
        at = line + 4 + chunk;
        if (!chunk) return at - from;
    }
}

static void read_requests(Client *c) {
    static char chunked[LONGEST + 1];
    while (c->at < 0 && c->size) {
        c->in[c->size] = 0;
        char *end = memmem(c->in, c->size, "\r\n\r\n", 4);
        if (!end) return;
        char *body = end + 4, *length = strcasestr(c->in, "\r\ncontent-length:");
        char *encoding = strcasestr(c->in, "\r\ntransfer-encoding:");
        size_t size = length && length < end ? strtoul(length + 17, 0, 10) : 0;
        long used = size;
        if (encoding && encoding < end) {
            if ((used = unchunked(body, c->in + c->size, chunked, &size)) < 0) return;
            answer(c, c->in, chunked, size);
        } else {
            if (body + size > c->in + c->size) return;
            answer(c, c->in, body, size);
        }
        size_t done = body - c->in + used;
        memmove(c->in, c->in + done, c->size -= done);
    }
}

static void leave(Client *c) {
    wait_no_more(c);
    clients[c->fd] = 0;
    close(c->fd);
    free(c->in);
    free(c);
}

static void receive(Client *c) {
    for (;;) {
        if (c->size + 8192 > c->room) c->in = realloc(c->in, (c->room *= 2) + 1);
        ssize_t got = recv(c->fd, c->in + c->size, c->room - c->size, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            leave(c);
            return;
        }
        if (got < 0) break;
        c->size += got;
        if (got < 8192) break;
    }
    read_requests(c);
}

static void take_new(int listening, int epoll) {
    for (int fd, one = 1; (fd = accept4(listening, 0, 0, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Client *c = clients[fd] = calloc(1, sizeof *c);
        *c = (Client){.fd = fd, .at = -1, .room = 16384, .in = malloc(16385)};
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void serve_the_due(double now) {
    for (int k = 0; k < waiting_count;) {
        Client *c = waiting[k];
        if (c->due_ms > now) {
            k++;
            continue;
        }
        if (!c->streams) put_answer(c);
        else {
            if (c->left == events) put_head(c);
            put_event(c);
        }
        if (c->streams && c->left) {
            c->due_ms += interval_ms;
            k++;
        } else {
            wait_no_more(c);
            read_requests(c);
        }
    }
}

int main(int count, char **given) {
    if (count < 2) return fprintf(stderr, "usage: mock PORT [DELAY_MS [EVENTS [INTERVAL_MS [CONTENT_BYTES]]]]\n"), 2;
    int content = count > 5 ? atoi(given[5]) : 1600, one = 1;
    if (count > 2) delay_ms = atoi(given[2]);
    if (count > 3) events = atoi(given[3]);
    if (count > 4) interval_ms = atof(given[4]);
    text = calloc(1, content + 1);
    for (int at = 0; at < content; at++) text[at] = "the quick brown fox jumps over the lazy dog. "[at % 45];
    signal(SIGPIPE, SIG_IGN);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {AF_INET, htons(atoi(given[1])), {htonl(INADDR_LOOPBACK)}, {0}};
    if (bind(listening, (void *)&address, sizeof address)) return perror("mock: bind"), 1;
    listen(listening, 4096);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, found[512];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int n = epoll_wait(epoll, found, 512, waiting_count ? 1 : -1);
        for (int i = 0; i < n; i++) {
            int fd = found[i].data.fd;
            if (fd == listening) take_new(listening, epoll);
            else if (clients[fd]) receive(clients[fd]);
        }
        if (waiting_count) serve_the_due(now_ms());
    }
}
