/* Prints docs/metrics.md: the reference of all metrics, made from common/metrics.def. */
#include "common/prom.h"

#include <stdio.h>

int main(void)
{
    puts("# Metrics\n\n"
         "Made from `common/metrics.def` by `metrics-reference`; a test compares the two. To write "
         "it anew:\n`ninja -C build metrics-docs`.\n\n"
         "With `--metrics-port PORT` (`METRICS_PORT`) each role answers on a port of its own:\n\n"
         "| path | |\n|---|---|\n"
         "| `/metrics` | for Prometheus: the sums over all processes of the role |\n"
         "| `/healthz` | 200: the role's master lives; of frontends and brokers also: the event "
         "loop "
         "of a process has turned within 5 s, and of frontends: that process accepts connections. "
         "503 with the reason: `no process's event loop turns`, `no process accepts connections` "
         "|\n"
         "| `/readyz` | 200, or 503 with the reason: one of `/healthz`, `no broker`, `no worker`, "
         "`store: …` |\n\n"
         "What `testflinger-server` starts on one machine has PORT for frontends, PORT + 1 for "
         "brokers, PORT + 2 for workers\nand PORT + 3 for webhook workers. A role that is started "
         "by itself has PORT. `--metrics-host` is the address,\nby default one that only this "
         "machine can reach: these pages ask nobody for a token.\n\n"
         "Counters start at 0 with the master of a role, and outlive its children. Series that "
         "were never counted are not\nshown. Durations are histograms in seconds.\n");
    prom_print_reference(stdout);
    puts(
        "\nOf the processes themselves, on every role's port:\n\n"
        "| metric | type | labels | |\n|---|---|---|---|\n"
        "| `process_cpu_seconds_total` | counter |  | CPU time of all processes of the role, those "
        "that have ended included |\n"
        "| `process_resident_memory_bytes` | gauge |  | Resident memory of all processes of the "
        "role; what they share counts for each |\n"
        "| `process_virtual_memory_bytes` | gauge |  | Virtual memory of all processes of the role "
        "|\n"
        "| `process_start_time_seconds` | gauge |  | Start of the role's master, since the epoch "
        "|\n"
        "| `process_open_fds`, `process_max_fds` | gauge |  | File descriptors of the process that "
        "has the most open, and its limit |\n"
        "| `testflinger_build_info` | gauge | `version`, `compiler` | 1 |");
    puts(
        "\nLooked up in the store when they are asked for, so equal on all workers:\n\n"
        "| metric | type | labels | roles | |\n|---|---|---|---|---|\n"
        "| `testflinger_store_up` | gauge |  | worker, webhook | 1: the store answers |\n"
        "| `testflinger_queue_waiting_jobs` | gauge | `queue` | worker | Jobs that wait, of the 50 "
        "queues with the most |\n"
        "| `testflinger_queue_oldest_waiting_seconds` | gauge | `queue` | worker | Age of the "
        "oldest job that waits, of the same queues |\n"
        "| `testflinger_agents_held` | gauge |  | worker | Agents whose mode is not ONLINE |\n"
        "| `testflinger_agents_silent` | gauge |  | worker | Agents of which nothing was heard for "
        "`--agent-silent` seconds |\n"
        "| `testflinger_queues_paused` | gauge |  | worker | Queues that are paused |\n"
        "| `testflinger_webhook_backlog` | gauge |  | webhook | Events that are not delivered yet "
        "|\n"
        "| `testflinger_webhook_oldest_seconds` | gauge |  | webhook | Age of the oldest of them "
        "|\n"
        "| `testflinger_webhook_dead_letters` | gauge |  | webhook | Events that were given up, "
        "and "
        "are kept |");
    return 0;
}
