/* Modular encryption: modules, footers and keys; what was changed or moved is refused. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "columns/parquet/crypt.h"

static const char text[] = "the quick brown fox jumps over the lazy dog";
static const char *const names[] = {"a", "b.list.element", "c"};
enum { NAMES = 3 };

static tn_parquet_crypt *new_crypt(const tn_parquet_encryption *options) {
  tn_parquet_crypt *crypt = NULL;
  OK(tn_parquet_crypt_new(&crypt, options, names, NAMES, &problem));
  return crypt;
}

/* ---- modules --------------------------------------------------------------------------------- */

static void modules_of_every_key_size(void **state) {
  const char *key = "0123456789abcdef0123456789abcdef";
  for (int ctr = 0; ctr < 2; ctr++) {
    for (size_t bytes = 16; bytes <= 32; bytes += 8) {
      tn_parquet_encryption options = {.footer_key = {key, bytes}, .ctr_pages = ctr};
      tn_parquet_crypt *crypt = new_crypt(&options);
      tn_parquet_cipher cipher = {0};
      tn_parquet_bytes sealed = {0}, plain = {0};
      size_t used;
      OK(tn_parquet_cipher_start(&cipher, crypt, 3, 1, &problem));
      for (int module = TN_PARQUET_MODULE_COLUMN_META; module <= TN_PARQUET_MODULE_BLOOM_BITS;
           module++) {
        bool page =
            module == TN_PARQUET_MODULE_DATA_PAGE || module == TN_PARQUET_MODULE_DICTIONARY_PAGE;
        size_t extra = ctr && page ? 16 : 32;
        for (size_t count = 0; count < sizeof text; count += 7) {
          sealed.length = 0;
          OK(tn_parquet_encrypt(&cipher, module, 7, text, count, &sealed, &problem));
          assert_int_equal(sealed.length, count + extra);
          OK(tn_parquet_decrypt(&cipher, module, 7, sealed.data, sealed.length, &plain, &used,
                                &problem));
          assert_int_equal(used, sealed.length);
          assert_int_equal(plain.length, count);
          assert_memory_equal(plain.data, text, count);
        }
      }
      tn_parquet_bytes_clear(&sealed);
      tn_parquet_bytes_clear(&plain);
      tn_parquet_cipher_clear(&cipher);
      tn_parquet_crypt_free(crypt);
    }
  }
}

static tn_status open_module(tn_parquet_crypt *crypt, int64_t group, int64_t column, int module,
                             int64_t page, const tn_parquet_bytes *sealed, size_t count) {
  tn_parquet_cipher cipher = {0};
  tn_parquet_bytes plain = {0};
  size_t used;
  tn_status status = tn_parquet_cipher_start(&cipher, crypt, group, column, &problem);
  if (status == TN_OK) {
    /* An exact copy, so that ASan sees a load too far. */
    uint8_t *exact = malloc(count + 1);
    assert_non_null(exact);
    memcpy(exact, sealed->data, count);
    status = tn_parquet_decrypt(&cipher, module, page, exact, count, &plain, &used, &problem);
    free(exact);
  }
  tn_parquet_bytes_clear(&plain);
  tn_parquet_cipher_clear(&cipher);
  return status;
}

static void changed_and_moved_modules(void **state) {
  const int header = TN_PARQUET_MODULE_DATA_HEADER;
  tn_parquet_encryption options = {.footer_key = TN_STR("0123456789abcdef")};
  tn_parquet_crypt *crypt = new_crypt(&options), *other = new_crypt(&options);
  tn_parquet_cipher cipher = {0};
  tn_parquet_bytes sealed = {0};
  OK(tn_parquet_cipher_start(&cipher, crypt, 1, 2, &problem));
  OK(tn_parquet_encrypt(&cipher, header, 3, text, sizeof text, &sealed, &problem));
  OK(open_module(crypt, 1, 2, header, 3, &sealed, sealed.length));
  assert_int_equal(open_module(crypt, 0, 2, header, 3, &sealed, sealed.length), TN_ERR_CHECKSUM);
  assert_int_equal(open_module(crypt, 1, 0, header, 3, &sealed, sealed.length), TN_ERR_CHECKSUM);
  assert_int_equal(open_module(crypt, 1, 2, header, 4, &sealed, sealed.length), TN_ERR_CHECKSUM);
  assert_int_equal(open_module(crypt, 1, 2, header + 1, 3, &sealed, sealed.length),
                   TN_ERR_CHECKSUM);
  /* The same key in another file: the file's own bytes differ. */
  assert_int_equal(open_module(other, 1, 2, header, 3, &sealed, sealed.length), TN_ERR_CHECKSUM);
  for (size_t i = 0; i < sealed.length; i++) {
    sealed.data[i] ^= 0x10;
    tn_status status = open_module(crypt, 1, 2, header, 3, &sealed, sealed.length);
    assert_true(status == TN_ERR_CHECKSUM || (i < 4 && status == TN_ERR_DATA));
    sealed.data[i] ^= 0x10;
  }
  for (size_t cut = 0; cut < sealed.length; cut++) {
    assert_int_equal(open_module(crypt, 1, 2, header, 3, &sealed, cut), TN_ERR_DATA);
  }
  assert_int_equal(open_module(crypt, 1, 2, header, 32768, &sealed, sealed.length), TN_ERR_LIMIT);
  CONTAINS(problem.text, "pages up to 32767");
  tn_parquet_bytes_clear(&sealed);
  tn_parquet_cipher_clear(&cipher);
  tn_parquet_crypt_free(crypt);
  tn_parquet_crypt_free(other);
}

/* ---- footers --------------------------------------------------------------------------------- */

static tn_parquet_element elements[] = {
    {.name = "schema", .physical = -1, .repetition = -1, .children = 3, .converted = -1},
    {.name = "a", .physical = TN_PARQUET_INT32, .converted = -1},
    {.name = "b", .physical = TN_PARQUET_INT32, .converted = -1},
    {.name = "c", .physical = TN_PARQUET_INT32, .converted = -1}};

typedef struct sealed_file {
  tn_parquet_encryption options;
  tn_parquet_keys keys;
  tn_strbuf footer; /* what stands before the last 8 bytes */
  bool encrypted;   /* "PARE" */
} sealed_file;

static void seal(sealed_file *file) {
  tn_arena arena = {0};
  tn_parquet_chunk_meta chunks[NAMES];
  for (int i = 0; i < NAMES; i++) {
    chunks[i] = (tn_parquet_chunk_meta){
        .name = elements[i + 1].name,
        .physical = TN_PARQUET_INT32,
        .values = 10 + i,
        .data_offset = 4,
        .dictionary_offset = -1,
        .range = {.min = TN_STR("\1\0\0\0"), .max = TN_STR("\2\0\0\0"), .present = true}};
  }
  tn_parquet_group_meta group = {.chunks = chunks, .chunk_count = NAMES, .rows = 10};
  tn_parquet_footer footer = {.elements = elements,
                              .element_count = NAMES + 1,
                              .groups = &group,
                              .group_count = 1,
                              .rows = 10,
                              .created_by = "test"};
  tn_parquet_crypt *crypt = new_crypt(&file->options);
  file->encrypted = strcmp(tn_parquet_crypt_magic(crypt), "PARE") == 0;
  OK(tn_parquet_crypt_footer(crypt, &footer, &arena, &file->footer, &problem));
  tn_parquet_crypt_free(crypt);
  tn_arena_clear(&arena);
}

typedef struct opened_file { /* all zero is valid for clear */
  tn_parquet_crypt *crypt;
  tn_parquet_footer footer;
  tn_arena arena;
  tn_buffer *plain;
} opened_file;

static void clear(opened_file *file) {
  tn_parquet_crypt_free(file->crypt);
  tn_buffer_drop(file->plain);
  tn_arena_clear(&file->arena);
  *file = (opened_file){0};
}

static tn_status open_sealed(const sealed_file *file, opened_file *out, tn_error *err) {
  const uint8_t *data = (const uint8_t *)file->footer.data;
  size_t count = file->footer.length;
  if (file->encrypted) {
    TN_TRY(
        tn_parquet_crypt_open_footer(&out->crypt, data, count, 0, &file->keys, &out->plain, err));
    TN_TRY(tn_parquet_footer_parse(&out->footer, &out->arena, out->plain->data, out->plain->bytes,
                                   0, err));
  } else {
    TN_TRY(tn_parquet_footer_parse(&out->footer, &out->arena, data, count, 0, err));
    TN_TRY(tn_parquet_crypt_open_plain(&out->crypt, &out->footer, data, count, &file->keys, err));
  }
  return tn_parquet_crypt_open_columns(out->crypt, &out->footer, &out->arena, names, NAMES,
                                       &file->keys, err);
}

static tn_status reopen(void *context, tn_error *err) {
  opened_file out = {0};
  tn_status status = open_sealed(context, &out, err);
  clear(&out);
  return status;
}

/* Column a has the footer's key, b (named by the field above the leaf) its own, c is plain. */
static const tn_parquet_column_key column_keys[] = {
    {.column = "a"}, {.column = "b", .key = {"bbbbbbbbbbbbbbbb", 16}, .metadata = {"kb", 2}}};

static sealed_file sample(bool plain_footer) {
  return (sealed_file){.options = {.footer_key = TN_STR("ffffffffffffffffffffffffffffffff"),
                                   .footer_key_metadata = TN_STR("kf"),
                                   .columns = column_keys,
                                   .column_count = 2,
                                   .plain_footer = plain_footer},
                       .keys = {.footer = TN_STR("ffffffffffffffffffffffffffffffff"),
                                .columns = column_keys + 1,
                                .column_count = 1}};
}

static void footers_round_trip(void **state) {
  for (int plain = 0; plain < 2; plain++) {
    sealed_file file = sample(plain);
    opened_file out = {0};
    seal(&file);
    assert_int_equal(file.encrypted, !plain);
    OK(open_sealed(&file, &out, &problem));
    const tn_parquet_chunk_meta *chunks = out.footer.groups[0].chunks;
    for (int i = 0; i < NAMES; i++) {
      assert_false(chunks[i].elsewhere);
      assert_int_equal(chunks[i].values, 10 + i);
      assert_true(chunks[i].range.present);
    }
    assert_int_equal(chunks[0].encryption, TN_PARQUET_FOOTER_KEY);
    assert_int_equal(chunks[1].encryption, TN_PARQUET_COLUMN_KEY);
    assert_int_equal(chunks[2].encryption, TN_PARQUET_PLAINTEXT);
    clear(&out);
    assert_true(fail_each_allocation(reopen, &file) > 0);
    tn_strbuf_clear(&file.footer);
  }
}

static void keys_that_are_missing_or_wrong(void **state) {
  opened_file out = {0};
  sealed_file file = sample(false);
  seal(&file);
  file.keys.column_count = 0; /* b stays closed, the others open */
  OK(open_sealed(&file, &out, &problem));
  assert_true(out.footer.groups[0].chunks[1].elsewhere);
  assert_false(out.footer.groups[0].chunks[0].elsewhere);
  tn_parquet_cipher cipher = {0};
  assert_int_equal(tn_parquet_cipher_start(&cipher, out.crypt, 0, 1, &problem), TN_ERR_NOT_FOUND);
  CONTAINS(problem.text, "key of its own");
  CONTAINS(problem.text, "kb");
  clear(&out);
  file.keys.footer = (tn_str){0};
  assert_int_equal(open_sealed(&file, &out, &problem), TN_ERR_NOT_FOUND);
  CONTAINS(problem.text, "kf");
  clear(&out);
  file.keys.footer = TN_STR("gfffffffffffffffffffffffffffffff");
  assert_int_equal(open_sealed(&file, &out, &problem), TN_ERR_CHECKSUM);
  clear(&out);
  file.keys.footer = TN_STR("short");
  assert_int_equal(open_sealed(&file, &out, &problem), TN_ERR_ARGUMENT);
  clear(&out);
  tn_strbuf_clear(&file.footer);
}

static void signed_footers(void **state) {
  opened_file out = {0};
  sealed_file file = sample(true);
  seal(&file);
  /* The last byte of the footer's own: created_by stands before the last fields. */
  char *at = memmem(file.footer.data, file.footer.length, "test", 4);
  assert_non_null(at);
  *at = 'T';
  assert_int_equal(open_sealed(&file, &out, &problem), TN_ERR_CHECKSUM);
  CONTAINS(problem.text, "signature");
  clear(&out);
  file.keys = (tn_parquet_keys){0}; /* a reader without keys cannot tell, and reads what is plain */
  OK(open_sealed(&file, &out, &problem));
  assert_false(out.footer.groups[0].chunks[2].elsewhere);
  /* What stands in plain about encrypted columns has no statistics. */
  assert_true(out.footer.groups[0].chunks[1].has_meta);
  assert_false(out.footer.groups[0].chunks[1].range.present);
  assert_true(out.footer.groups[0].chunks[1].elsewhere);
  clear(&out);
  tn_strbuf_clear(&file.footer);
}

static void aad_prefixes(void **state) {
  opened_file out = {0};
  for (int hidden = 0; hidden < 2; hidden++) {
    sealed_file file = sample(false);
    file.options.aad_prefix = TN_STR("table-7");
    file.options.hide_aad_prefix = hidden;
    seal(&file);
    bool stored = memmem(file.footer.data, file.footer.length, "table-7", 7) != NULL;
    assert_true(stored == !hidden);
    tn_status status = open_sealed(&file, &out, &problem);
    assert_int_equal(status, hidden ? TN_ERR_NOT_FOUND : TN_OK);
    clear(&out);
    file.keys.aad_prefix = TN_STR("table-7");
    OK(open_sealed(&file, &out, &problem));
    clear(&out);
    file.keys.aad_prefix = TN_STR("table-8");
    status = open_sealed(&file, &out, &problem);
    assert_int_equal(status, hidden ? TN_ERR_CHECKSUM : TN_ERR_ARGUMENT);
    clear(&out);
    tn_strbuf_clear(&file.footer);
  }
}

static tn_status find_key(void *context, const char *column, tn_str metadata, uint8_t key[32],
                          size_t *key_bytes, tn_error *err) {
  int *asked = context;
  ++*asked;
  memset(key, column ? 'b' : 'f', 32);
  *key_bytes = column ? 16 : 32;
  assert_true(tn_str_is(metadata, column ? "kb" : "kf"));
  return TN_OK;
}

static void keys_by_metadata(void **state) {
  opened_file out = {0};
  int asked = 0;
  sealed_file file = sample(false);
  seal(&file);
  file.keys = (tn_parquet_keys){.find = find_key, .context = &asked};
  OK(open_sealed(&file, &out, &problem));
  assert_int_equal(asked, 2);
  assert_false(out.footer.groups[0].chunks[1].elsewhere);
  clear(&out);
  tn_strbuf_clear(&file.footer);
}

static void options_that_make_no_sense(void **state) {
  tn_parquet_crypt *crypt = NULL;
  tn_parquet_column_key unknown = {.column = "z", .key = TN_STR("bbbbbbbbbbbbbbbb")};
  tn_parquet_encryption options = {
      .footer_key = TN_STR("0123456789abcdef"), .columns = &unknown, .column_count = 1};
  assert_int_equal(tn_parquet_crypt_new(&crypt, &options, names, NAMES, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "not in the schema");
  options = (tn_parquet_encryption){.footer_key = TN_STR("0123")};
  assert_int_equal(tn_parquet_crypt_new(&crypt, &options, names, NAMES, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "a key of 4 bytes");
}

static void cut_footers(void **state) {
  for (int plain = 0; plain < 2; plain++) {
    sealed_file file = sample(plain);
    seal(&file);
    size_t whole = file.footer.length;
    for (size_t cut = 0; cut < whole; cut++) {
      opened_file out = {0};
      char *exact = malloc(cut + 1);
      assert_non_null(exact);
      memcpy(exact, file.footer.data, cut);
      sealed_file part = file;
      part.footer.data = exact;
      part.footer.length = cut;
      assert_int_not_equal(open_sealed(&part, &out, &problem), TN_OK);
      clear(&out);
      free(exact);
    }
    tn_strbuf_clear(&file.footer);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(modules_of_every_key_size),
      cmocka_unit_test(changed_and_moved_modules),
      cmocka_unit_test(footers_round_trip),
      cmocka_unit_test(keys_that_are_missing_or_wrong),
      cmocka_unit_test(signed_footers),
      cmocka_unit_test(aad_prefixes),
      cmocka_unit_test(keys_by_metadata),
      cmocka_unit_test(options_that_make_no_sense),
      cmocka_unit_test(cut_footers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
