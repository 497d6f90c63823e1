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
    return 0;
}
