// Clients of a gateway, on one thread: as many as can be (closed loop), or so many a second (open loop).
//
//     load PORT CONNECTIONS SECONDS WARM_S RATE FILE
//
// FILE is one raw HTTP request; six @ in it become the number of the user. At RATE 0 each connection asks again as
// soon as it has its answer. At any other rate requests are due at fixed times, and latency counts from when one was
// due, so that a slow gateway cannot hide its queue. One line of JSON says how many answers came after WARM_S, and the
// percentiles in microseconds to the first byte of the body (ttfb) and to its end.
#define _GNU_SOURCE
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

enum { READ = 1 << 16, HEAD = 1 << 14, MOST = 50000000, USERS = 512 };

typedef struct {
    int fd, busy, in_body, is_chunked, status;
    long need;
    double due, first;
    size_t held;
    char head[HEAD + 1], tail[5];
} Line;

static Line *lines;
static int connections, port, epoll, open_lines, most_open;
static char *request, *user;
static size_t request_size;
static double *whole, *first, began, measured_from;
static long answers, bad, broken, user_number;

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, double p) {
    long at = p * answers;
    return answers ? sorted[at < answers ? at : answers - 1] : -1;
}

static int connected(Line *line) {
    struct sockaddr_in address = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    int one = 1;
    line->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(line->fd, (void *)&address, sizeof address)) {
        close(line->fd);
        line->fd = 0;
        return 0;
    }
    setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
    epoll_ctl(epoll, EPOLL_CTL_ADD, line->fd, &event);
    if (++open_lines > most_open) most_open = open_lines;
    return 1;
}

static void hang_up(Line *line) {
    if (line->busy) broken++;
    close(line->fd);
    line->fd = line->busy = 0;
    open_lines--;
}

static void ask(Line *line, double due) {
    if (!line->fd && !connected(line)) {
        broken++;
        return;
    }
    if (user) {
        char digits[8];
        snprintf(digits, sizeof digits, "%06ld", user_number++ % USERS * 1237);
        memcpy(user, digits, 6);
    }
    line->due = due;
    line->first = line->held = line->in_body = line->is_chunked = 0;
    line->busy = 1;
    line->need = -1;
    memset(line->tail, 0, 5);
    if (send(line->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) hang_up(line);
}

static void done(Line *line, double now) {
    line->busy = 0;
    if (now < measured_from) return;
    if (line->status != 200) bad++;
    else if (answers < MOST) {
        whole[answers] = now - line->due;
        first[answers++] = line->first - line->due;
    }
}

// How much of what came is body, at the end of it; -1 as long as the head is not whole.
static long read_head(Line *line, const char *data, long size) {
    long room = HEAD - line->held, taken = size < room ? size : room;
    memcpy(line->head + line->held, data, taken);
    line->held += taken;
    line->head[line->held] = 0;
    char *end = strstr(line->head, "\r\n\r\n");
    if (!end) return -1;
    long body = line->held - (end + 4 - line->head) + (size - taken);
    *end = 0;
    char *length = strcasestr(line->head, "\r\ncontent-length:");
    line->status = atoi(line->head + 9);
    line->need = length ? atol(length + 17) : -1;
    line->is_chunked = !length;
    line->in_body = 1;
    return body;
}

static void read_body(Line *line, const char *data, long size, double now) {
    if (size && !line->first) line->first = now;
    if (!line->is_chunked) {
        if ((line->need -= size) <= 0) done(line, now);
        return;
    }
    if (size >= 5) memcpy(line->tail, data + size - 5, 5);
    else {
        memmove(line->tail, line->tail + size, 5 - size);
        memcpy(line->tail + 5 - size, data, size);
    }
    if (!memcmp(line->tail, "0\r\n\r\n", 5)) done(line, now);
}

static void receive(Line *line) {
    static char data[READ];
    long size = recv(line->fd, data, READ, 0), body = size;
    double now = now_us();
    if (size <= 0) {
        hang_up(line);
        return;
    }
    if (!line->busy || (!line->in_body && (body = read_head(line, data, size)) < 0)) return;
    read_body(line, data + size - body, body, now);
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) perror(path), exit(2);
    request = calloc(1, 1 << 22);
    request_size = fread(request, 1, (1 << 22) - 1, file);
    user = memmem(request, request_size, "@@@@@@", 6);
}

int main(int count, char **given) {
    if (count < 7) return fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS WARM_S RATE FILE\n"), 2;
    port = atoi(given[1]), connections = atoi(given[2]);
    double seconds = atof(given[3]), warm_s = atof(given[4]), rate = atof(given[5]);
    read_request(given[6]);
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(0);
    lines = calloc(connections, sizeof *lines);
    whole = malloc(MOST * sizeof *whole), first = malloc(MOST * sizeof *first);
    began = now_us(), measured_from = began + warm_s * 1e6;
    double end = measured_from + seconds * 1e6;
    long due = 0, total = rate * (warm_s + seconds);
    for (;;) {
        double now = now_us();
        int busy = 0, is_over = rate ? due >= total : now >= end;
        for (int i = 0; i < connections && !is_over; i++) {
            double at = rate ? began + due * 1e6 / rate : now;
            if (at > now) break;
            if (!lines[i].busy) ask(&lines[i], at), due++;
            is_over = rate ? due >= total : 0;
        }
        for (int i = 0; i < connections; i++) busy |= lines[i].busy;
        if (now > end + 30e6 || (is_over && (!busy || !rate))) break;
        double next_us = rate && due < total ? began + due * 1e6 / rate - now_us() : 1e4;
        struct timespec patience = {0, next_us < 0 ? 0 : (long)((next_us < 1e4 ? next_us : 1e4) * 1e3)};
        struct epoll_event found[256];
        int n = epoll_pwait2(epoll, found, 256, &patience, 0);
        for (int i = 0; i < n; i++) receive(found[i].data.ptr);
    }
    double took_s = (now_us() - measured_from) / 1e6;
    qsort(whole, answers, sizeof *whole, ascending);
    qsort(first, answers, sizeof *first, ascending);
    printf("{\"answers\":%ld,\"seconds\":%.4f,\"not_200\":%ld,\"broken\":%ld,\"open\":%d,"
           "\"ttfb_p50_us\":%.0f,\"ttfb_p99_us\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f}\n",
           answers, took_s, bad, broken, most_open, percentile(first, .5), percentile(first, .99),
           percentile(whole, .5), percentile(whole, .99), answers ? whole[answers - 1] : -1);
    return 0;
}
