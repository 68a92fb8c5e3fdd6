/* The configuration: layers, includes, and the exact text of every error. */
#include "configs/config.h"
#include "configs/units.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct core {
    uint64_t width, clock_hz, hit_fs, size_bytes, prefetch, design;
    char name[PARAM_TEXT_BYTES];
};
struct tlb {
    uint64_t entries, ways;
};

static struct core core;
static struct tlb tlb;

static const char *const designs[] = {"radix", "hashed", "segment", NULL};

static const struct param_desc core_rows[] = {
    {"width", PARAM_COUNT, "instr", "4", 1, 16, NULL, offsetof(struct core, width), "dispatch"},
    {"clock", PARAM_FREQ, "Hz", "3GHz", 100000000, 10000000000, NULL,
     offsetof(struct core, clock_hz), "clock"},
    {"hit", PARAM_TIME, "", "1.5ns", 0, FS_PER_US, NULL, offsetof(struct core, hit_fs), "hit"},
    {"size", PARAM_SIZE, "byte", "48KiB", 0, UINT64_MAX, NULL, offsetof(struct core, size_bytes),
     "size"},
    {"prefetch", PARAM_BOOL, "", "no", 0, 0, NULL, offsetof(struct core, prefetch), "on or off"},
    {"design", PARAM_ENUM, "", "radix", 0, 0, designs, offsetof(struct core, design), "design"},
    {"name", PARAM_TEXT, "", "a core", 0, 0, NULL, offsetof(struct core, name), "its name"},
};
static const struct param_desc tlb_rows[] = {
    {"entries", PARAM_COUNT, "entry", "64", 1, 4096, NULL, offsetof(struct tlb, entries), "size"},
    {"ways", PARAM_COUNT, "1", "4", 1, 64, NULL, offsetof(struct tlb, ways), "ways"},
};
static const struct param_group groups[] = {
    {"core", "Core", core_rows, sizeof core_rows / sizeof core_rows[0], &core},
    {"tlb.l1d4k", "L1 data TLB", tlb_rows, sizeof tlb_rows / sizeof tlb_rows[0], &tlb},
};
#define NGROUPS (sizeof groups / sizeof groups[0])

static struct config *make(void)
{
    struct config *c = NULL;
    memset(&core, 0xEE, sizeof core);
    memset(&tlb, 0xEE, sizeof tlb);
    CU_ASSERT_EQUAL_FATAL(config_create(groups, NGROUPS, &c), ERR_OK);
    return c;
}

/* Writes a file below the test's directory and goes there, so that names in messages are short. */
static void put(const char *name, const char *text)
{
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    FILE *f = fopen(name, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(text, f);
    fclose(f);
}

/* Loads one text and expects exactly these errors, in order. */
#define EXPECT_ERRORS(text, ...)                                                 \
    do {                                                                         \
        static const char *const expected[] = {__VA_ARGS__};                     \
        expect_errors(text, expected, sizeof expected / sizeof expected[0]);     \
    } while (0)

static void expect_list(struct config *c, const char *const *expected, size_t n)
{
    CU_ASSERT_EQUAL(config_nerrors(c), n);
    for (size_t i = 0; i < config_nerrors(c); i++) {
        if (i >= n || strcmp(config_error(c, i), expected[i]) != 0) {
            fprintf(stderr, "\n  got:      %s\n  expected: %s\n", config_error(c, i),
                    i < n ? expected[i] : "(nothing)");
            CU_FAIL("another message");
        }
    }
}

static void expect_errors(const char *text, const char *const *expected, size_t n)
{
    struct config *c = make();
    config_load_text(c, text, "t.yaml");
    expect_list(c, expected, n);
    config_destroy(c);
}

static void defaults_are_written_to_the_structs(void)
{
    struct config *c = make();
    CU_ASSERT_EQUAL(core.width, 4);
    CU_ASSERT_EQUAL(core.clock_hz, 3000000000);
    CU_ASSERT_EQUAL(core.hit_fs, 1500000);
    CU_ASSERT_EQUAL(core.size_bytes, 49152);
    CU_ASSERT_EQUAL(core.prefetch, 0);
    CU_ASSERT_EQUAL(core.design, 0);
    CU_ASSERT_STRING_EQUAL(core.name, "a core");
    CU_ASSERT_EQUAL(tlb.entries, 64);
    CU_ASSERT_EQUAL(config_nkeys(c), 9);
    CU_ASSERT_EQUAL(config_finish(c), ERR_OK);
    config_destroy(c);
}

static void nesting_and_dots_name_the_same_keys(void)
{
    struct config *c = make();
    CU_ASSERT_EQUAL(config_load_text(c,
                                     "tlb: {l1d4k: {entries: 128}}\n"
                                     "tlb.l1d4k.ways: 8\n"
                                     "core:\n  width: 6\n  design: hashed\n  prefetch: yes\n"
                                     "  name: 'x: \"y\" # z'\n  hit: 2 ns\n  clock: 2.5GHz\n",
                                     "t.yaml"),
                    ERR_OK);
    CU_ASSERT_EQUAL(tlb.entries, 128);
    CU_ASSERT_EQUAL(tlb.ways, 8);
    CU_ASSERT_EQUAL(core.width, 6);
    CU_ASSERT_EQUAL(core.design, 1);
    CU_ASSERT_EQUAL(core.prefetch, 1);
    CU_ASSERT_STRING_EQUAL(core.name, "x: \"y\" # z");
    CU_ASSERT_EQUAL(core.hit_fs, 2000000);
    CU_ASSERT_EQUAL(core.clock_hz, 2500000000);
    config_destroy(c);
}

static void an_unknown_key_names_its_place_and_the_nearest(void)
{
    EXPECT_ERRORS("core:\n  width: 2\ntlb:\n  l1d4k:\n    entires: 3\n",
                  "t.yaml:5:5: unknown key 'tlb.l1d4k.entires' (did you mean "
                  "'tlb.l1d4k.entries'?)");
    EXPECT_ERRORS("something_else_entirely: 3\n",
                  "t.yaml:1:1: unknown key 'something_else_entirely'");
    EXPECT_ERRORS("mmu:\n  second_level:\n    entries: 3\n",
                  "t.yaml:3:5: unknown key 'mmu.second_level.entries' (did you mean "
                  "'tlb.l1d4k.entries'?)");
}

static void a_wrong_value_names_what_is_legal(void)
{
    EXPECT_ERRORS("core.width: abc\n",
                  "t.yaml:1:13: core.width: 'abc' is not a number, expected a whole number such "
                  "as 64 or 250k (k, M, G)");
    EXPECT_ERRORS("core:\n  width: 17\n",
                  "t.yaml:2:10: core.width: 17 is out of range, legal: 1 to 16 (instr)");
    EXPECT_ERRORS("core:\n  hit: 3\n", "t.yaml:2:8: core.hit: '3' has no unit, expected a time "
                                       "such as 13.75ns (fs, ps, ns, us, ms, s)");
    EXPECT_ERRORS("core:\n  hit: 2us\n",
                  "t.yaml:2:8: core.hit: 2us is out of range, legal: 0 to 1us");
    EXPECT_ERRORS("core: {clock: 50MHz}\n",
                  "t.yaml:1:15: core.clock: 50MHz is out of range, legal: 100MHz to 10GHz");
    EXPECT_ERRORS("core: {prefetch: 2}\n",
                  "t.yaml:1:18: core.prefetch: '2' is no truth value, expected true or false "
                  "(also yes, no, on, off)");
    EXPECT_ERRORS("core: {design: hased}\n",
                  "t.yaml:1:16: core.design: unknown choice 'hased' (did you mean 'hashed'?), "
                  "legal: radix, hashed, segment");
    EXPECT_ERRORS("core: {design: x}\n", "t.yaml:1:16: core.design: unknown choice 'x', legal: "
                                         "radix, hashed, segment");
    EXPECT_ERRORS("core:\n  name: \"two\\nlines\"\n",
                  "t.yaml:2:9: core.name: the text must be one line of UTF-8");
}

static void the_ends_of_a_range_are_legal(void)
{
    struct config *c = make();
    CU_ASSERT_EQUAL(config_load_text(c, "core.width: 16", "t"), ERR_OK);
    CU_ASSERT_EQUAL(core.width, 16);
    CU_ASSERT_EQUAL(config_load_text(c, "core.width: 1", "t"), ERR_OK);
    CU_ASSERT_EQUAL(core.width, 1);
    CU_ASSERT_EQUAL(config_load_text(c, "core.width: 0", "t"), ERR_USAGE);
    CU_ASSERT_EQUAL(core.width, 1);
    config_destroy(c);
}

static void a_key_stands_once_in_a_file(void)
{
    EXPECT_ERRORS("core:\n  width: 2\ncore.width: 3\n",
                  "t.yaml:3:1: duplicate key 'core.width', first set in line 2");
}

static void groups_and_values_are_not_mixed_up(void)
{
    EXPECT_ERRORS("core: 3\n", "t.yaml:1:1: 'core' is a group of keys and takes no value");
    EXPECT_ERRORS("core:\n  width:\n    x: 3\n",
                  "t.yaml:3:5: 'core.width' takes a value, not keys below it");
    EXPECT_ERRORS("core:\n  width: [1, 2]\n",
                  "t.yaml:2:3: core.width: takes one value, not a list");
    EXPECT_ERRORS("core:\n  width:\n", "t.yaml:2:3: core.width: no value");
    EXPECT_ERRORS("- core\n", "t.yaml:1:1: expected 'key: value' lines, found a list");
    EXPECT_ERRORS("core\n", "t.yaml:1:1: expected 'key: value' lines, found a single value");
    struct config *c = make();
    CU_ASSERT_EQUAL(config_load_text(c, "core:\ntlb: {}\n", "t"), ERR_OK);
    CU_ASSERT_EQUAL(config_load_text(c, "", "t"), ERR_OK);
    CU_ASSERT_EQUAL(config_load_text(c, "# nothing\n---\n", "t"), ERR_OK);
    config_destroy(c);
}

static void syntax_errors_name_the_line(void)
{
    EXPECT_ERRORS("core:\n\twidth: 3\n",
                  "t.yaml:2:1: syntax error: found character that cannot start any token while "
                  "scanning for the next token (a tab? indent with spaces)");
    EXPECT_ERRORS("core:\n  width: 3\n hit: 1ns\n",
                  "t.yaml:3:2: syntax error: did not find expected key while parsing a block "
                  "mapping");
    EXPECT_ERRORS("a: &x 1\nb: *x\n", "t.yaml:2:4: aliases (*name) are not supported, use include",
                  "t.yaml:1:1: unknown key 'a'");
    EXPECT_ERRORS("core.width: 2\n---\ncore.width: 3\n",
                  "t.yaml:2:1: more than one document in a file");
}

static void all_errors_of_a_file_are_reported(void)
{
    EXPECT_ERRORS("core:\n  widht: 2\n  hit: 7\n  design: radx\n",
                  "t.yaml:2:3: unknown key 'core.widht' (did you mean 'core.width'?)",
                  "t.yaml:3:8: core.hit: '7' has no unit, expected a time such as 13.75ns (fs, "
                  "ps, ns, us, ms, s)",
                  "t.yaml:4:11: core.design: unknown choice 'radx' (did you mean 'radix'?), "
                  "legal: radix, hashed, segment");
}

static void later_files_win_and_assignments_win_over_files(void)
{
    struct config *c = make();
    put("a.yaml", "core: {width: 2, design: segment}\ntlb.l1d4k.entries: 8\n");
    put("b.yaml", "core: {width: 3}\n");
    CU_ASSERT_EQUAL(config_set(c, "tlb.l1d4k.entries=16"), ERR_OK);
    CU_ASSERT_EQUAL(config_load_file(c, "a.yaml"), ERR_OK);
    CU_ASSERT_EQUAL(config_load_file(c, "b.yaml"), ERR_OK);
    CU_ASSERT_EQUAL(core.width, 3);
    CU_ASSERT_EQUAL(core.design, 2);
    CU_ASSERT_EQUAL(tlb.entries, 16);
    struct config_key_info k;
    CU_ASSERT_TRUE(config_find(c, "core.width", &k));
    CU_ASSERT_STRING_EQUAL(k.origin, "b.yaml:1");
    CU_ASSERT_TRUE(config_find(c, "tlb.l1d4k.entries", &k));
    CU_ASSERT_STRING_EQUAL(k.origin, "-s");
    CU_ASSERT_FALSE(config_find(c, "tlb.l1d4k", &k));
    config_destroy(c);
}

static void assignments_report_themselves(void)
{
    static const char *const expected[] = {
        "-s core.widht=3: unknown key 'core.widht' (did you mean 'core.width'?)",
        "-s core.width: expected key=value",
        "-s =3: expected key=value",
        "-s core.width=99: core.width: 99 is out of range, legal: 1 to 16 (instr)",
    };
    struct config *c = make();
    CU_ASSERT_EQUAL(config_set(c, "core.widht=3"), ERR_USAGE);
    CU_ASSERT_EQUAL(config_set(c, "core.width"), ERR_USAGE);
    CU_ASSERT_EQUAL(config_set(c, "=3"), ERR_USAGE);
    CU_ASSERT_EQUAL(config_set(c, "core.width=99"), ERR_USAGE);
    CU_ASSERT_EQUAL(config_set(c, "core.name=a=b"), ERR_OK);
    CU_ASSERT_STRING_EQUAL(core.name, "a=b");
    expect_list(c, expected, 4);
    config_destroy(c);
}

static void includes_come_first_and_are_relative_to_their_file(void)
{
    struct config *c = make();
    put("top.yaml", "core.width: 5\ninclude: [sub/mid.yaml, preset]\n");
    CU_ASSERT_EQUAL(mkdir("sub", 0777), 0);
    CU_ASSERT_EQUAL(mkdir("presets", 0777), 0);
    put("sub/mid.yaml", "include: low.yaml\ncore: {width: 2, hit: 2ns}\n");
    put("sub/low.yaml", "core: {hit: 3ns, size: 1MiB}\n");
    put("presets/preset.yaml", "tlb.l1d4k.ways: 2\n");
    config_set_preset_dir(c, "presets");
    CU_ASSERT_EQUAL(config_load_file(c, "top.yaml"), ERR_OK);
    CU_ASSERT_EQUAL(core.width, 5);
    CU_ASSERT_EQUAL(core.hit_fs, 2000000);
    CU_ASSERT_EQUAL(core.size_bytes, 1048576);
    CU_ASSERT_EQUAL(tlb.ways, 2);
    struct config_key_info k;
    CU_ASSERT_TRUE(config_find(c, "core.size", &k));
    CU_ASSERT_STRING_EQUAL(k.origin, "sub/low.yaml:1");
    CU_ASSERT_EQUAL(config_finish(c), ERR_OK);
    config_destroy(c);
}

static void include_problems_name_the_line_that_includes(void)
{
    static const char *const expected[] = {
        "loop2.yaml:2:10: 'loop1.yaml' includes itself",
        "miss.yaml:1:11: no such file 'presett' (did you mean 'preset.yaml'?)",
        "miss.yaml:1:20: no such file 'gone/away.yaml'",
        "-c nothing.yaml: no such file 'nothing.yaml'",
    };
    struct config *c = make();
    config_set_preset_dir(c, "presets");
    put("loop1.yaml", "include: loop2.yaml\n");
    put("loop2.yaml", "core.width: 2\ninclude: loop1.yaml\n");
    put("miss.yaml", "include: [presett, gone/away.yaml]\n");
    CU_ASSERT_EQUAL(config_load_file(c, "loop1.yaml"), ERR_USAGE);
    CU_ASSERT_EQUAL(config_load_file(c, "miss.yaml"), ERR_USAGE);
    CU_ASSERT_EQUAL(config_load_file(c, "nothing.yaml"), ERR_USAGE);
    expect_list(c, expected, 4);
    config_destroy(c);
}

static void a_dump_names_origins_and_reads_back(void)
{
    struct config *c = make();
    put("d.yaml", "core:\n  hit: 1.25ns\n  design: segment\n");
    config_load_file(c, "d.yaml");
    config_set(c, "core.name=say \"hi\" \\ #1: é");
    config_set(c, "core.prefetch=on");
    char *with = config_dump(c, true), *plain = config_dump(c, false);
    CU_ASSERT_STRING_EQUAL(with, "# Core\n"
                                 "core.width: 4  # default\n"
                                 "core.clock: 3GHz  # default\n"
                                 "core.hit: 1.25ns  # d.yaml:2\n"
                                 "core.size: 48KiB  # default\n"
                                 "core.prefetch: true  # -s\n"
                                 "core.design: segment  # d.yaml:3\n"
                                 "core.name: \"say \\\"hi\\\" \\\\ #1: é\"  # -s\n"
                                 "\n# L1 data TLB\n"
                                 "tlb.l1d4k.entries: 64  # default\n"
                                 "tlb.l1d4k.ways: 4  # default\n");
    struct config *d = make();
    CU_ASSERT_EQUAL(config_load_text(d, with, "dump"), ERR_OK);
    char *again = config_dump(d, false);
    CU_ASSERT_STRING_EQUAL(again, plain);
    CU_ASSERT_STRING_EQUAL(core.name, "say \"hi\" \\ #1: é");
    free(with);
    free(plain);
    free(again);
    config_destroy(c);
    config_destroy(d);
}

static void a_bad_table_is_found_at_once(void)
{
    static const struct param_desc bad_default[] = {
        {"x", PARAM_COUNT, "1", "9", 1, 8, NULL, 0, ""}};
    static const struct param_desc one[] = {{"x", PARAM_COUNT, "1", "1", 1, 8, NULL, 0, ""}};
    static const struct param_desc below[] = {{"y", PARAM_COUNT, "1", "1", 1, 8, NULL, 0, ""}};
    struct config *c = NULL;
    struct param_group g[2] = {{"a", "", bad_default, 1, NULL}};
    CU_ASSERT_EQUAL(config_create(g, 1, &c), ERR_RUNTIME);
    g[0].rows = g[1].rows = one;
    g[1].prefix = "a";
    g[1].nrows = 1;
    CU_ASSERT_EQUAL(config_create(g, 2, &c), ERR_RUNTIME);
    g[1].rows = below;
    g[1].prefix = "a.x";
    CU_ASSERT_EQUAL(config_create(g, 2, &c), ERR_RUNTIME);
    CU_ASSERT_PTR_NULL(c);
}

static void a_complaint_names_value_and_origin(void)
{
    static const char *const expected[] = {
        "t.yaml:2: tlb.l1d4k.ways: 5: must divide entries (64), nearest: 4"};
    struct config *c = make();
    config_load_text(c, "\ntlb.l1d4k.ways: 5\n", "t.yaml");
    config_complain(c, "tlb.l1d4k.ways", "must divide entries (%d), nearest: %d", 64, 4);
    expect_list(c, expected, 1);
    config_destroy(c);
}

static void describe_lists_unit_default_range_and_meaning(void)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CU_ASSERT_EQUAL(config_describe(groups, NGROUPS, "tlb.l1d4k.e", f), 1);
    fclose(f);
    CU_ASSERT_STRING_EQUAL(text, "tlb.l1d4k: L1 data TLB\n"
                                 "  tlb.l1d4k.entries                count (entry), 1 to 4096; "
                                 "default 64\n"
                                 "      size\n");
    free(text);
}

UNIT_MAIN("configs/config", UNIT(defaults_are_written_to_the_structs),
          UNIT(nesting_and_dots_name_the_same_keys),
          UNIT(an_unknown_key_names_its_place_and_the_nearest),
          UNIT(a_wrong_value_names_what_is_legal), UNIT(the_ends_of_a_range_are_legal),
          UNIT(a_key_stands_once_in_a_file), UNIT(groups_and_values_are_not_mixed_up),
          UNIT(syntax_errors_name_the_line), UNIT(all_errors_of_a_file_are_reported),
          UNIT(later_files_win_and_assignments_win_over_files),
          UNIT(assignments_report_themselves),
          UNIT(includes_come_first_and_are_relative_to_their_file),
          UNIT(include_problems_name_the_line_that_includes),
          UNIT(a_dump_names_origins_and_reads_back), UNIT(a_bad_table_is_found_at_once),
          UNIT(a_complaint_names_value_and_origin),
          UNIT(describe_lists_unit_default_range_and_meaning))
