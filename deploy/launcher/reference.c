/* Prints docs/config.md: the reference of all settings, made from common/config.def. */
#include "common/config.h"

#include <stdio.h>

int main(void)
{
    puts(
        "# Settings\n\n"
        "Made from `common/config.def` by `config-reference`; a test compares the two. To write it "
        "anew: `ninja -C build config-docs`.\n\n"
        "A flag wins over its environment variable, that over the default. An empty variable "
        "counts "
        "as unset. A\nwrong value ends a program at its start with one line on standard error and "
        "exit status 2.\n`--print-config` shows the settings in force, without secrets. A secret "
        "can be read from a file: set\nthe variable that ends in `_FILE` to its path.\n\n"
        "\"server\" is `testflinger-server`: it hands each setting to the programs of its last but "
        "one column, and\nno others, so that frontends and brokers never see the store's "
        "credentials.\n");
    config_print_reference(stdout);
    puts(
        "\n## How much memory a frontend process takes\n\n"
        "At most 32 MiB, 16 KiB for each of `--max-connections` and `--max-body-memory`, together: "
        "352 "
        "MiB by\ndefault; `tests/attack/run memory` measures it. `--max-body-memory` counts what "
        "is "
        "really held: bodies in\nmemory (64 KiB each at most, larger ones go to `--spool`), copies "
        "for the bus, parts of files, answers that are\nnot read, input that waits. Three quarters "
        "of it are for anything, the last one is for what is small (68 KiB).\nAn address (of IPv6 "
        "a "
        "/64) gets at most half of what the others leave. Who finds no memory gets 503.\n\n"
        "The limits of containers and of the systemd unit follow from this sum: raise both "
        "together.");
    return 0;
}
