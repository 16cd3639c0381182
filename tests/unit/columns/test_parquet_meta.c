/* Footers and page headers with every field set, and what statistics may be relied on. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <math.h>

#include "columns/parquet/bounds.h"
#include "columns/parquet/geo.h"

/* ---- footers --------------------------------------------------------------------------------- */

static tn_parquet_element elements[] = {
    {.name = "schema", .physical = -1, .repetition = -1, .children = 4, .converted = -1},
    {.name = "price",
     .physical = TN_PARQUET_FIXED_LEN_BYTE_ARRAY,
     .length = 9,
     .repetition = TN_PARQUET_OPTIONAL,
     .converted = TN_PARQUET_CONVERTED_DECIMAL,
     .has_field_id = true,
     .field_id = -7,
     .logical = {.kind = TN_PARQUET_LOGICAL_DECIMAL, .precision = 20, .scale = 3}},
    {.name = "where",
     .physical = TN_PARQUET_BYTE_ARRAY,
     .converted = -1,
     .logical = {.kind = TN_PARQUET_LOGICAL_GEOGRAPHY,
                 .crs = {"EPSG:4326", 9},
                 .edges = TN_PARQUET_KARNEY}},
    {.name = "at",
     .physical = TN_PARQUET_INT64,
     .converted = -1,
     .logical = {.kind = TN_PARQUET_LOGICAL_TIME, .utc = true, .unit = TN_PARQUET_NANOS}},
    {.name = "v",
     .physical = -1,
     .children = 1,
     .converted = -1,
     .logical = {.kind = TN_PARQUET_LOGICAL_VARIANT, .version = 1}},
    {.name = "metadata", .physical = TN_PARQUET_BYTE_ARRAY, .converted = -1},
};
enum { ELEMENTS = sizeof elements / sizeof *elements };

static tn_parquet_pair pairs[] = {{{"k", 1}, {"value", 5}, true}, {{"alone", 5}, {0}, false}};
static int64_t histogram[] = {3, 0, 1000000};
static tn_parquet_sizes sizes = {.byte_array_bytes = 77,
                                 .repetitions = histogram,
                                 .definitions = histogram,
                                 .repetition_count = 2,
                                 .definition_count = 3};
static int32_t geo_codes[] = {1, 1003, 3006};
static tn_parquet_geo geo = {.has_box = true,
                             .has_m = true,
                             .min = {170, -5, 0, 0.25},
                             .max = {-170, 5, 0, 0.5},
                             .types = geo_codes,
                             .type_count = 3};
static tn_parquet_encoding_stats encoding_stats[] = {
    {TN_PARQUET_PAGE_DICTIONARY, TN_PARQUET_PLAIN, 1},
    {TN_PARQUET_PAGE_DATA, TN_PARQUET_RLE_DICTIONARY, 9}};
static tn_str path[] = {{"v", 1}, {"metadata", 8}};
static tn_parquet_sorting sorting[] = {{2, true, false}, {0, false, true}};

static tn_parquet_chunk_meta full_chunk(void) {
  return (tn_parquet_chunk_meta){.path = path,
                                 .path_count = 2,
                                 .physical = TN_PARQUET_BYTE_ARRAY,
                                 .codec = TN_PARQUET_ZSTD,
                                 .encodings = 1u << TN_PARQUET_PLAIN | 1u << TN_PARQUET_RLE,
                                 .values = 1000,
                                 .uncompressed_bytes = 5000,
                                 .compressed_bytes = 3000,
                                 .data_offset = 400,
                                 .dictionary_offset = 4,
                                 .offset_index_offset = 10000,
                                 .offset_index_bytes = 21,
                                 .column_index_offset = 20000,
                                 .column_index_bytes = 22,
                                 .bloom_offset = 30000,
                                 .bloom_bytes = 47,
                                 .range = {.min = {"a", 1},
                                           .max = {"zz", 2},
                                           .present = true,
                                           .max_exact = true,
                                           .nulls = 0,
                                           .has_distinct = true,
                                           .distinct = 40,
                                           .has_nans = true,
                                           .nans = 2},
                                 .pairs = pairs,
                                 .pair_count = 2,
                                 .encoding_stats = encoding_stats,
                                 .encoding_stats_count = 2,
                                 .sizes = &sizes,
                                 .geo = &geo};
}

static void write_footer(tn_strbuf *out) {
  static uint8_t orders[] = {TN_PARQUET_ORDER_TYPE, TN_PARQUET_ORDER_TYPE, TN_PARQUET_ORDER_INT96,
                             TN_PARQUET_ORDER_IEEE754};
  tn_parquet_chunk_meta chunks[2] = {full_chunk(), full_chunk()};
  chunks[1].encryption = TN_PARQUET_COLUMN_KEY;
  chunks[1].key_metadata = TN_STR("kc1");
  chunks[1].encrypted_meta = TN_STR("0123456789");
  tn_parquet_group_meta group = {.chunks = chunks,
                                 .chunk_count = 2,
                                 .rows = 1000,
                                 .bytes = 10000,
                                 .sorting = sorting,
                                 .sorting_count = 2,
                                 .has_ordinal = true,
                                 .ordinal = 3};
  tn_parquet_footer footer = {.elements = elements,
                              .element_count = ELEMENTS,
                              .groups = &group,
                              .group_count = 1,
                              .rows = 1000,
                              .created_by = "test",
                              .pairs = pairs,
                              .pair_count = 2,
                              .orders = orders,
                              .order_count = 4,
                              .algorithm = {.kind = TN_PARQUET_AES_GCM_CTR,
                                            .aad_unique = TN_STR("12345678"),
                                            .supply_prefix = true},
                              .has_signing_key = true,
                              .signing_key_metadata = TN_STR("kf")};
  tn_parquet_footer_write(&footer, out);
}

static void check_pairs(const tn_parquet_pair *got, uint32_t count) {
  assert_int_equal(count, 2);
  assert_true(tn_str_is(got[0].key, "k") && tn_str_is(got[0].value, "value") && got[0].has_value);
  assert_true(tn_str_is(got[1].key, "alone") && !got[1].has_value);
}

static void check_range(const tn_parquet_range *r) {
  assert_true(r->present && r->has_min && r->has_max && !r->old_order);
  assert_true(tn_str_is(r->min, "a") && tn_str_is(r->max, "zz"));
  assert_true(r->has_min_exact && !r->min_exact && r->has_max_exact && r->max_exact);
  assert_true(r->has_distinct && r->has_nans && r->nulls == 0);
  assert_int_equal(r->distinct, 40);
  assert_int_equal(r->nans, 2);
}

static void check_chunk(const tn_parquet_chunk_meta *c) {
  assert_int_equal(c->path_count, 2);
  assert_true(tn_str_is(c->path[1], "metadata"));
  assert_int_equal(c->codec, TN_PARQUET_ZSTD);
  assert_int_equal(c->offset_index_offset, 10000);
  assert_int_equal(c->offset_index_bytes, 21);
  assert_int_equal(c->column_index_offset, 20000);
  assert_int_equal(c->column_index_bytes, 22);
  assert_int_equal(c->bloom_offset, 30000);
  assert_int_equal(c->bloom_bytes, 47);
  check_range(&c->range);
  check_pairs(c->pairs, c->pair_count);
  assert_int_equal(c->encoding_stats_count, 2);
  assert_memory_equal(c->encoding_stats, encoding_stats, sizeof encoding_stats);
  assert_int_equal(c->sizes->byte_array_bytes, 77);
  assert_int_equal(c->sizes->repetition_count, 2);
  assert_memory_equal(c->sizes->definitions, histogram, sizeof histogram);
  assert_true(c->geo->has_box && c->geo->has_m && !c->geo->has_z);
  assert_memory_equal(c->geo->min, geo.min, sizeof geo.min);
  assert_memory_equal(c->geo->max, geo.max, sizeof geo.max);
  assert_memory_equal(c->geo->types, geo_codes, sizeof geo_codes);
}

static void check_elements(const tn_parquet_footer *f) {
  assert_int_equal(f->element_count, ELEMENTS);
  const tn_parquet_element *e = f->elements;
  assert_int_equal(e[1].length, 9);
  assert_true(e[1].has_field_id && e[1].field_id == -7);
  assert_int_equal(e[1].logical.precision, 20);
  assert_int_equal(e[1].logical.scale, 3);
  assert_int_equal(e[1].converted, TN_PARQUET_CONVERTED_DECIMAL);
  assert_true(tn_str_is(e[2].logical.crs, "EPSG:4326"));
  assert_int_equal(e[2].logical.edges, TN_PARQUET_KARNEY);
  assert_true(e[3].logical.utc && e[3].logical.unit == TN_PARQUET_NANOS);
  assert_int_equal(e[4].logical.kind, TN_PARQUET_LOGICAL_VARIANT);
  assert_int_equal(e[4].logical.version, 1);
}

static void footer_round_trip(void **state) {
  tn_strbuf bytes = {0};
  tn_arena arena = {0};
  tn_parquet_footer f;
  write_footer(&bytes);
  tn_strbuf_append(&bytes, "signature", 9); /* what follows a signed footer is not its own */
  OK(tn_parquet_footer_parse(&f, &arena, bytes.data, bytes.length, 0, &problem));
  assert_int_equal(f.parsed_bytes, bytes.length - 9);
  assert_int_equal(f.version, 1);
  check_elements(&f);
  check_pairs(f.pairs, f.pair_count);
  assert_int_equal(f.order_count, 4);
  assert_int_equal(f.orders[2], TN_PARQUET_ORDER_INT96);
  assert_false(f.type_order);
  assert_int_equal(f.algorithm.kind, TN_PARQUET_AES_GCM_CTR);
  assert_true(f.algorithm.supply_prefix && tn_str_is(f.algorithm.aad_unique, "12345678"));
  assert_true(f.has_signing_key && tn_str_is(f.signing_key_metadata, "kf"));
  const tn_parquet_group_meta *g = &f.groups[0];
  assert_true(g->has_ordinal && g->ordinal == 3);
  assert_int_equal(g->compressed_bytes, 6000);
  assert_int_equal(g->sorting_count, 2);
  assert_true(g->sorting[0].column == 2 && g->sorting[0].descending && g->sorting[1].nulls_first);
  check_chunk(&g->chunks[0]);
  assert_false(g->chunks[0].elsewhere);
  assert_true(g->chunks[1].elsewhere && !g->chunks[1].has_meta);
  assert_int_equal(g->chunks[1].encryption, TN_PARQUET_COLUMN_KEY);
  assert_true(tn_str_is(g->chunks[1].key_metadata, "kc1"));
  assert_true(tn_str_is(g->chunks[1].path[0], "v"));
  assert_true(tn_str_is(g->chunks[1].encrypted_meta, "0123456789"));
  for (size_t cut = 0; cut < bytes.length - 9; cut++) {
    tn_arena_reset(&arena);
    assert_int_equal(tn_parquet_footer_parse(&f, &arena, bytes.data, cut, 0, NULL), TN_ERR_DATA);
  }
  tn_arena_clear(&arena);
  tn_strbuf_clear(&bytes);
}

static void chunk_meta_alone(void **state) {
  tn_parquet_chunk_meta in = full_chunk(), out = {0};
  tn_strbuf bytes = {0};
  tn_arena arena = {0};
  tn_parquet_chunk_meta_write(&in, &bytes);
  OK(tn_parquet_chunk_meta_parse(&out, &arena, bytes.data, bytes.length, 0, &problem));
  check_range(&out.range);
  assert_int_equal(out.dictionary_offset, 4);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&bytes);
}

static tn_status parse_footer(void *context, tn_error *err) {
  const tn_strbuf *bytes = context;
  tn_arena arena = {0};
  tn_parquet_footer footer;
  tn_status status = tn_parquet_footer_parse(&footer, &arena, bytes->data, bytes->length, 0, err);
  tn_arena_clear(&arena);
  return status;
}

static void footer_without_memory(void **state) {
  tn_strbuf bytes = {0};
  write_footer(&bytes);
  assert_true(fail_each_allocation(parse_footer, &bytes) > 0);
  tn_strbuf_clear(&bytes);
}

static void file_crypto(void **state) {
  tn_parquet_file_crypto out, in = {.algorithm = {.kind = TN_PARQUET_AES_GCM,
                                                  .aad_prefix = TN_STR("prefix"),
                                                  .aad_unique = TN_STR("unique")},
                                    .key_metadata = TN_STR("kf")};
  tn_strbuf bytes = {0};
  tn_parquet_file_crypto_write(&in, &bytes);
  OK(tn_parquet_file_crypto_parse(&out, bytes.data, bytes.length, 0, &problem));
  assert_int_equal(out.algorithm.kind, TN_PARQUET_AES_GCM);
  assert_true(tn_str_is(out.algorithm.aad_prefix, "prefix"));
  assert_true(tn_str_is(out.algorithm.aad_unique, "unique"));
  assert_true(tn_str_is(out.key_metadata, "kf"));
  assert_int_equal(out.parsed_bytes, bytes.length);
  for (size_t cut = 0; cut < bytes.length; cut++) {
    assert_int_equal(tn_parquet_file_crypto_parse(&out, bytes.data, cut, 0, NULL), TN_ERR_DATA);
  }
  tn_strbuf_clear(&bytes);
}

/* ---- page headers ---------------------------------------------------------------------------- */

static void page_header_v2(void **state) {
  tn_parquet_page_header out, in = {.type = TN_PARQUET_PAGE_DATA_V2,
                                    .uncompressed_bytes = 100,
                                    .compressed_bytes = 80,
                                    .values = 10,
                                    .nulls = 3,
                                    .rows = 7,
                                    .encoding = TN_PARQUET_DELTA_BYTE_ARRAY,
                                    .level_bytes = 5,
                                    .rep_bytes = 6,
                                    .has_range = true,
                                    .range = full_chunk().range};
  tn_strbuf bytes = {0};
  size_t used;
  tn_parquet_page_header_write(&in, &bytes);
  OK(tn_parquet_page_header_parse(&out, bytes.data, bytes.length, 0, &used, &problem));
  assert_int_equal(used, bytes.length);
  assert_true(!out.has_crc && !out.is_compressed && out.has_range);
  assert_int_equal(out.nulls, 3);
  assert_int_equal(out.rows, 7);
  assert_int_equal(out.level_bytes, 5);
  assert_int_equal(out.rep_bytes, 6);
  check_range(&out.range);
  tn_strbuf_clear(&bytes);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

#define BYTES(text) ((tn_str){(text), sizeof(text) - 1})

static tn_parquet_bounds bounds_of(int32_t physical, int16_t logical, uint8_t order, tn_str min,
                                   tn_str max) {
  tn_parquet_element e = {.physical = physical, .logical = {.kind = logical}, .length = 2};
  tn_parquet_range range = {.min = min, .max = max, .present = true, .nulls = 0};
  tn_parquet_bounds out;
  tn_parquet_bounds_of_range(&e, order, &range, 10, &out);
  return out;
}

static tn_str of_float(float *value) {
  return (tn_str){(const char *)value, sizeof *value};
}

static void bounds_by_order(void **state) {
  const uint8_t type = TN_PARQUET_ORDER_TYPE, none = TN_PARQUET_ORDER_UNDEFINED;
  tn_str low = BYTES("\1\0\0\0"), high = BYTES("\2\0\0\0"), minus = BYTES("\xff\xff\xff\xff");
  assert_true(bounds_of(TN_PARQUET_INT32, 0, type, low, high).has_min);
  assert_true(bounds_of(TN_PARQUET_INT32, 0, type, minus, low).has_min);
  assert_false(bounds_of(TN_PARQUET_INT32, 0, type, low, minus).has_min); /* upside down */
  assert_false(bounds_of(TN_PARQUET_INT32, 0, none, low, high).has_min);  /* no order declared */
  assert_false(bounds_of(TN_PARQUET_INT64, 0, type, low, high).has_max);  /* 4 bytes of 8 */
  assert_false(
      bounds_of(TN_PARQUET_BYTE_ARRAY, TN_PARQUET_LOGICAL_GEOMETRY, type, low, high).has_max);
  assert_true(bounds_of(TN_PARQUET_BYTE_ARRAY, 0, type, low, minus).has_max); /* unsigned bytes */
  assert_true(bounds_of(TN_PARQUET_BYTE_ARRAY, TN_PARQUET_LOGICAL_DECIMAL, type, BYTES("\xfe"),
                        BYTES("\0\x7f"))
                  .has_max);
  tn_str instant = BYTES("\0\0\0\0\0\0\0\0\x8c\x3d\x25\0");
  assert_false(bounds_of(TN_PARQUET_INT96, 0, type, instant, instant).has_min);
  tn_parquet_bounds b = bounds_of(TN_PARQUET_INT96, 0, TN_PARQUET_ORDER_INT96, instant, instant);
  tn_parquet_number n;
  assert_true(b.has_min && tn_parquet_bound_number(b.compare, b.min, &n));
  assert_true(n.i == 0); /* the first of January 1970 */
}

static void bounds_of_deprecated_fields(void **state) {
  tn_parquet_range range = {
      .min = BYTES("\1\0\0\0"), .max = BYTES("\2\0\0\0"), .present = true, .old_order = true};
  tn_parquet_element e = {.physical = TN_PARQUET_INT32};
  tn_parquet_bounds out;
  tn_parquet_bounds_of_range(&e, TN_PARQUET_ORDER_UNDEFINED, &range, 10, &out);
  assert_true(out.has_min && out.has_max);
  e.logical = (tn_parquet_logical){.kind = TN_PARQUET_LOGICAL_INTEGER, .bits = 32};
  tn_parquet_bounds_of_range(&e, TN_PARQUET_ORDER_TYPE, &range, 10, &out);
  assert_false(out.has_min || out.has_max); /* unsigned numbers compared as signed */
  e = (tn_parquet_element){.physical = TN_PARQUET_BYTE_ARRAY};
  tn_parquet_bounds_of_range(&e, TN_PARQUET_ORDER_TYPE, &range, 10, &out);
  assert_false(out.has_min || out.has_max);
}

static void bounds_and_nan(void **state) {
  float nan = NAN, one = 1, zero = -0.0f, plus = 0.0f;
  const uint8_t type = TN_PARQUET_ORDER_TYPE, total = TN_PARQUET_ORDER_IEEE754;
  tn_parquet_bounds b = bounds_of(TN_PARQUET_FLOAT, 0, type, of_float(&nan), of_float(&one));
  assert_true(!b.has_min && b.has_max && b.maybe_nan && !b.only_nan);
  b = bounds_of(TN_PARQUET_FLOAT, 0, total, of_float(&nan), of_float(&nan));
  assert_true(!b.has_min && !b.has_max && b.only_nan && b.maybe_nan);
  b = bounds_of(TN_PARQUET_FLOAT, 0, type, of_float(&plus), of_float(&zero));
  assert_true(b.has_min && b.has_max); /* zeros are equal, whatever their sign */
  tn_parquet_element e = {.physical = TN_PARQUET_FLOAT};
  tn_parquet_range range = {
      .min = of_float(&zero), .max = of_float(&one), .present = true, .has_nans = true};
  tn_parquet_bounds_of_range(&e, type, &range, 10, &b);
  assert_false(b.maybe_nan);
  range = (tn_parquet_range){.has_nans = true, .nans = 7, .nulls = 3};
  tn_parquet_bounds_of_range(&e, type, &range, 10, &b);
  assert_true(b.only_nan && !b.all_null);
}

static void bounds_of_pages(void **state) {
  bool null_pages[] = {false, true};
  tn_str min[] = {BYTES("a"), {0}}, max[] = {BYTES("b"), {0}};
  tn_parquet_column_index index = {
      .page_count = 2, .null_pages = null_pages, .min = min, .max = max};
  tn_parquet_element e = {.physical = TN_PARQUET_BYTE_ARRAY};
  tn_parquet_bounds b;
  tn_parquet_bounds_of_page(&e, TN_PARQUET_ORDER_TYPE, &index, 0, &b);
  assert_true(b.has_min && tn_str_is(b.min, "a") && tn_str_is(b.max, "b") && !b.all_null);
  assert_int_equal(b.nulls, -1);
  tn_parquet_bounds_of_page(&e, TN_PARQUET_ORDER_TYPE, &index, 1, &b);
  assert_true(b.all_null && !b.has_min && !b.has_max);
}

static void comparisons(void **state) {
  const tn_parquet_compare decimal = TN_PARQUET_COMPARE_DECIMAL;
  assert_true(tn_parquet_bound_compare(decimal, BYTES("\xff"), BYTES("\0\0\1")) < 0);
  assert_true(tn_parquet_bound_compare(decimal, BYTES("\xff\x00"), BYTES("\xff")) < 0);
  assert_true(tn_parquet_bound_compare(decimal, BYTES("\0\0\5"), BYTES("\5")) == 0);
  assert_true(tn_parquet_bound_compare(TN_PARQUET_COMPARE_BYTES, BYTES("a"), BYTES("a\0")) < 0);
  assert_true(tn_parquet_bound_compare(TN_PARQUET_COMPARE_BYTES, BYTES("\x80"), BYTES("a")) > 0);
  assert_true(tn_parquet_bound_compare(TN_PARQUET_COMPARE_HALF, BYTES("\0\xc0"), BYTES("\0\x3c")) <
              0);
  tn_parquet_number n;
  assert_true(tn_parquet_bound_number(TN_PARQUET_COMPARE_HALF, BYTES("\1\0"), &n));
  assert_true(n.f == ldexp(1, -24));
  assert_true(tn_parquet_bound_number(TN_PARQUET_COMPARE_HALF, BYTES("\0\xc0"), &n) && n.f == -2);
  assert_true(
      tn_parquet_bound_number(decimal, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), &n));
  assert_true(n.i == -2);
  assert_true(tn_parquet_bound_number(decimal, BYTES("\x80\0\0\0\0\0\0\0"), &n) &&
              n.i == INT64_MIN);
  assert_false(tn_parquet_bound_number(decimal, BYTES("\0\x80\0\0\0\0\0\0\0"), &n));
  assert_false(tn_parquet_bound_number(decimal, BYTES("\xff\x7f\0\0\0\0\0\0\0"), &n));
}

/* ---- geospatial types ------------------------------------------------------------------------ */

static void geo_both_ways(const char *crs, int32_t edges, const char *json) {
  static const tn_parquet_pair file_pairs[] = {{{"k", 1}, {"{\"name\":\"x\"}", 12}, true}};
  tn_parquet_logical back, logical = {.kind = TN_PARQUET_LOGICAL_GEOMETRY, .crs = tn_str_of(crs)};
  tn_strbuf text = {0};
  tn_arena arena = {0};
  if (edges >= 0) logical.kind = TN_PARQUET_LOGICAL_GEOGRAPHY, logical.edges = edges;
  tn_parquet_geo_metadata(&logical, file_pairs, 1, &text);
  assert_string_equal(text.data, json);
  OK(tn_parquet_geo_logical(&back, tn_strbuf_view(&text), &arena, &problem));
  assert_int_equal(back.kind, logical.kind);
  assert_int_equal(back.edges, logical.edges);
  /* A reference into the file's metadata comes back as what it refers to. */
  if (strcmp(crs, "projjson:k") == 0) crs = "{\"name\":\"x\"}";
  assert_true(tn_str_is(back.crs, crs));
  tn_arena_clear(&arena);
  tn_strbuf_clear(&text);
}

static void geo_types(void **state) {
  geo_both_ways("", -1, "{\"crs\":\"OGC:CRS84\",\"crs_type\":\"authority_code\"}");
  geo_both_ways("srid:5070", -1, "{\"crs\":\"5070\",\"crs_type\":\"srid\"}");
  geo_both_ways("a \"b\"", -1, "{\"crs\":\"a \\\"b\\\"\"}");
  geo_both_ways("{\"name\":[1]}", TN_PARQUET_KARNEY,
                "{\"crs\":{\"name\":[1]},\"edges\":\"karney\"}");
  geo_both_ways("projjson:k", TN_PARQUET_SPHERICAL,
                "{\"crs\":{\"name\":\"x\"},\"crs_type\":\"projjson\",\"edges\":\"spherical\"}");
  geo_both_ways("projjson:other", -1, "{\"crs\":\"projjson:other\"}");
  tn_parquet_logical logical;
  tn_arena arena = {0};
  OK(tn_parquet_geo_logical(&logical, (tn_str){0}, &arena, &problem));
  assert_true(tn_str_is(logical.crs, "srid:0"));
  OK(tn_parquet_geo_logical(&logical,
                            TN_STR("{\"crs\":{\"id\":{\"authority\":\"OGC\",\"code\":\"CRS84\"}}}"),
                            &arena, &problem));
  assert_true(tn_str_is(logical.crs, ""));
  assert_int_equal(tn_parquet_geo_logical(&logical, TN_STR("{"), &arena, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "geoarrow.wkb metadata");
  assert_int_equal(
      tn_parquet_geo_logical(&logical, TN_STR("{\"edges\":\"bent\"}"), &arena, &problem),
      TN_ERR_DATA);
  tn_arena_clear(&arena);
}

static void geo_statistics(void **state) {
  tn_strbuf text = {0};
  tn_parquet_geo_text(&geo, &text);
  assert_string_equal(text.data,
                      "x 170 to -170, y -5 to 5, m 0.25 to 0.5; Point, Polygon Z, MultiPolygon ZM");
  tn_strbuf_clear(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(footer_round_trip),
      cmocka_unit_test(chunk_meta_alone),
      cmocka_unit_test(footer_without_memory),
      cmocka_unit_test(file_crypto),
      cmocka_unit_test(page_header_v2),
      cmocka_unit_test(bounds_by_order),
      cmocka_unit_test(bounds_of_deprecated_fields),
      cmocka_unit_test(bounds_and_nan),
      cmocka_unit_test(geo_types),
      cmocka_unit_test(geo_statistics),
      cmocka_unit_test(bounds_of_pages),
      cmocka_unit_test(comparisons),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
