/*
 * Fuzzes the configuration: the first byte chooses between a YAML text and an assignment. What is
 * accepted must dump to a text that reads back to the same dump.
 *
 *     clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_config.c configs/?*.c
 *         pdes/err.c -lyaml
 */
#include "configs/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
    uint64_t count, flag, size_bytes, time_fs, freq_hz, word;
    char text[PARAM_TEXT_BYTES];
};
static struct values values;
static const char *const words[] = {"radix", "hashed", "on", "no", NULL};

#define AT(field) offsetof(struct values, field)
static const struct param_desc rows[] = {
    {"count", PARAM_COUNT, "1", "4", 0, UINT64_MAX, NULL, AT(count), ""},
    {"flag", PARAM_BOOL, "", "no", 0, 0, NULL, AT(flag), ""},
    {"size", PARAM_SIZE, "byte", "48KiB", 0, UINT64_MAX, NULL, AT(size_bytes), ""},
    {"time", PARAM_TIME, "fs", "1ns", 0, UINT64_MAX, NULL, AT(time_fs), ""},
    {"freq", PARAM_FREQ, "Hz", "1GHz", 0, UINT64_MAX, NULL, AT(freq_hz), ""},
    {"word", PARAM_ENUM, "", "radix", 0, 0, words, AT(word), ""},
    {"text", PARAM_TEXT, "", "", 0, 0, NULL, AT(text), ""},
};
static const struct param_group groups[] = {
    {"a", "A", rows, sizeof rows / sizeof rows[0], &values},
    {"a.b", "B", rows, sizeof rows / sizeof rows[0], NULL},
};

static void check_round_trip(const struct config *c)
{
    struct config *d;
    char *first = config_dump(c, true), *plain = config_dump(c, false);
    struct values before = values;
    if (config_create(groups, 2, &d) != ERR_OK || config_load_text(d, first, "dump") != ERR_OK)
        abort();
    char *again = config_dump(d, false);
    if (strcmp(plain, again) != 0 || memcmp(&before, &values, AT(text)) != 0 ||
        strcmp(before.text, values.text) != 0)
        abort();
    free(first);
    free(plain);
    free(again);
    config_destroy(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c;
    if (size == 0 || config_create(groups, 2, &c) != ERR_OK)
        return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] & 1)
        config_set(c, text);
    else
        config_load_text(c, text, "fuzz");
    check_round_trip(c);
    for (size_t i = 0; i < config_nerrors(c); i++)
        if (strchr(config_error(c, i), '\n') != NULL)
            abort();
    config_destroy(c);
    free(text);
    return 0;
}
