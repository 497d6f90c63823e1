/* testflinger-webhook: sends events of jobs to their receivers. */
#include "common/bus.h"
#include "common/bus_folder.h"
#include "common/bus_key.h"
#include "common/config.h"
#include "common/exposure.h"
#include "common/metrics.h"
#include "common/prefork.h"
#include "common/privileges.h"
#include "worker/auth/signing_keys.h"
#include "worker/events/receiver.h"
#include "worker/store/monitor_probe.h"
#include "worker/webhook/dead_letters_cli.h"
#include "worker/webhook/dispatcher.h"
#include "worker/webhook/sign.h"
#include "worker/webhook/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const fault_labels[FAULT_COUNT_] = {
#define FAULT(id, label, reason, away) label,
#include "worker/webhook/faults.def"
#undef FAULT
};

#define PROGRAM "testflinger-webhook"

static int child(const struct config *cfg, unsigned slot, int stop_fd, void *arg)
{
    (void)slot;
    return dispatcher_run(cfg, arg, stop_fd);
}

static int monitor(const struct config *cfg, int stop_fd, void *arg)
{
    return watch_run(cfg, R_WEBHOOK, arg, stop_fd);
}

/* Says on stderr what is wrong with the settings of webhooks. The URL may hold a password. */
static bool check(const struct config *cfg)
{
    char receiver[RECEIVER_SIZE];
    const char *fault = NULL;

    if (*cfg->webhook_url && receiver_of(cfg->webhook_url, receiver))
        fault = "WEBHOOK_URL is no http or https URL with a host";
    else if (!sign_secrets_valid(cfg->webhook_secret))
        fault = "TESTFLINGER_WEBHOOK_SECRET: a secret is whsec_ and base64 of at least 16 bytes, "
                "or at least 16 characters";
    else if (*cfg->webhook_ca && access(cfg->webhook_ca, R_OK) != 0)
        fault = "webhook-ca: the file cannot be read";
    if (fault)
        fprintf(stderr, PROGRAM ": %s\n", fault);
    return !fault;
}

/* Runs the master on the store of this URI. */
static int serve(struct config *cfg, char *uri)
{
    struct prefork p = {.role = "webhook",
                        .child = child,
                        .monitor = monitor,
                        .beats = true,
                        .longest_call_s = store_longest_s(cfg),
                        .arg = uri};

    if (!exposure_bus_allowed(PROGRAM, cfg) || !signing_keys_check(cfg) || !check(cfg) ||
        privileges_drop(PROGRAM, cfg) || !bus_folder_allowed(PROGRAM, cfg))
        return EXIT_BAD_SETTING;
    watch_name_metrics();
    metrics_name_labels(LABELS_FAULT, fault_labels, FAULT_COUNT_);
    return prefork_run(cfg, &p);
}

int main(int argc, char **argv)
{
    struct config cfg;
    char *uri = NULL;
    int status = EXIT_BAD_SETTING;
    struct dead_letters_cli letters;

    if (!dead_letters_cli_args(&letters, &argc, argv))
        return EXIT_BAD_SETTING;
    config_load(&cfg, R_WEBHOOK, PROGRAM, argc, argv);
    if (letters.list || letters.resend)
        status = config_store_uri(&cfg, &uri) ? status : dead_letters_cli_run(&letters, &cfg, uri);
    else if (bus_setting_ok(PROGRAM, &cfg) &&
             bus_key_use(PROGRAM, &cfg, BUS_KEY_WEBHOOK) == ERR_OK &&
             config_store_uri(&cfg, &uri) == ERR_OK)
        status = serve(&cfg, uri);
    free(uri);
    config_free(&cfg);
    return status;
}
