/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/geo.h"

#include "base/json.h"

enum { SHAPES = 7, EDGES = TN_PARQUET_KARNEY + 1 };

static const tn_json_options shallow = {.depth_max = 32}; /* a writer has 64 levels */

static const char *const edge_names[EDGES] = {"spherical", "vincenty", "thomas", "andoyer",
                                              "karney"};

/* ---- to Arrow -------------------------------------------------------------------------------- */

/* A text that is a JSON object itself (PROJJSON) goes in as it is. */
static void put_crs(tn_json_writer *w, tn_str crs) {
  tn_arena arena = {0};
  tn_json *json = NULL;
  bool object =
      tn_json_parse(&json, &arena, crs, &shallow, NULL) == TN_OK && json->kind == TN_JSON_OBJECT;
  if (object) {
    tn_json_copy(w, json);
  } else {
    tn_json_str(w, crs);
  }
  tn_arena_clear(&arena);
}

static const tn_parquet_pair *find_pair(const tn_parquet_pair *pairs, uint32_t count, tn_str key) {
  for (uint32_t i = 0; i < count; i++) {
    if (tn_str_equal(pairs[i].key, key) && pairs[i].has_value) return &pairs[i];
  }
  return NULL;
}

static tn_str behind(tn_str s, tn_str prefix) {
  return (tn_str){s.data + prefix.length, s.length - prefix.length};
}

static void put_crs_of(tn_json_writer *w, tn_str crs, const tn_parquet_pair *pairs,
                       uint32_t count) {
  const tn_str srid = TN_STR("srid:"), projjson = TN_STR("projjson:");
  const char *type = NULL;
  tn_json_key(w, "crs");
  if (crs.length == 0) {
    tn_json_cstr(w, "OGC:CRS84");
    type = "authority_code";
  } else if (tn_str_starts(crs, srid)) {
    tn_json_str(w, behind(crs, srid));
    type = "srid";
  } else {
    const tn_parquet_pair *pair = NULL;
    if (tn_str_starts(crs, projjson)) pair = find_pair(pairs, count, behind(crs, projjson));
    if (pair) type = "projjson";
    put_crs(w, pair ? pair->value : crs);
  }
  if (type) tn_json_key(w, "crs_type"), tn_json_cstr(w, type);
}

void tn_parquet_geo_metadata(const tn_parquet_logical *logical, const tn_parquet_pair *pairs,
                             uint32_t pair_count, tn_strbuf *out) {
  tn_json_writer w = {.out = out};
  tn_json_begin_object(&w);
  put_crs_of(&w, logical->crs, pairs, pair_count);
  if (logical->kind == TN_PARQUET_LOGICAL_GEOGRAPHY) {
    bool known = logical->edges >= 0 && logical->edges < EDGES;
    tn_json_key(&w, "edges");
    tn_json_cstr(&w, known ? edge_names[logical->edges] : "unknown");
  }
  tn_json_end_object(&w);
}

/* ---- from Arrow ------------------------------------------------------------------------------ */

static bool is_longitude_latitude(const tn_json *crs) {
  const tn_json *id = tn_json_get(crs, "id");
  const tn_json *authority = tn_json_get(id, "authority"), *code = tn_json_get(id, "code");
  return authority && code && authority->kind == TN_JSON_STRING && code->kind == TN_JSON_STRING &&
         tn_str_is(authority->text, "OGC") && tn_str_is(code->text, "CRS84");
}

/* A copy in the arena; data is not NULL. */
static tn_status keep(tn_str text, tn_arena *arena, tn_str *out, tn_error *err) {
  char *copy = tn_arena_strndup(arena, text.data ? text.data : "", text.length);
  *out = (tn_str){copy, text.length};
  return copy ? TN_OK : tn_fail_memory(err, "a coordinate system", text.length);
}

static tn_status crs_of(const tn_json *root, tn_arena *arena, tn_str *out, tn_error *err) {
  const tn_json *crs = tn_json_get(root, "crs"), *type = tn_json_get(root, "crs_type");
  bool srid = type && type->kind == TN_JSON_STRING && tn_str_is(type->text, "srid");
  if (!crs || crs->kind == TN_JSON_NULL) return keep(TN_STR("srid:0"), arena, out, err);
  if (crs->kind == TN_JSON_STRING && tn_str_is(crs->text, "OGC:CRS84")) return TN_OK;
  if (crs->kind == TN_JSON_OBJECT && is_longitude_latitude(crs)) return TN_OK;
  if (crs->kind == TN_JSON_STRING && !srid) return keep(crs->text, arena, out, err);
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  if (srid && crs->kind == TN_JSON_STRING) {
    tn_strbuf_add(&text, "srid:");
    tn_strbuf_add_str(&text, crs->text);
  } else {
    tn_json_copy(&w, crs);
  }
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = keep(tn_strbuf_view(&text), arena, out, err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status edges_of(const tn_json *root, tn_parquet_logical *out, tn_error *err) {
  const tn_json *edges = tn_json_get(root, "edges");
  if (!edges || edges->kind == TN_JSON_NULL) return TN_OK;
  if (edges->kind != TN_JSON_STRING) return tn_fail(err, TN_ERR_DATA, "edges are not a text");
  if (tn_str_is(edges->text, "planar")) return TN_OK;
  out->kind = TN_PARQUET_LOGICAL_GEOGRAPHY;
  for (int32_t i = 0; i < EDGES; i++) {
    if (!tn_str_is(edges->text, edge_names[i])) continue;
    out->edges = i;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_DATA, "edges \"%.*s\" are not known", TN_STR_ARG(edges->text));
}

static tn_status parse_metadata(tn_parquet_logical *out, tn_str metadata, tn_arena *arena,
                                tn_arena *scratch, tn_error *err) {
  tn_json *root = NULL;
  if (metadata.length == 0) metadata = TN_STR("{}");
  TN_TRY(tn_json_parse(&root, scratch, metadata, &shallow, err));
  TN_TRY(crs_of(root, arena, &out->crs, err));
  return edges_of(root, out, err);
}

tn_status tn_parquet_geo_logical(tn_parquet_logical *out, tn_str metadata, tn_arena *arena,
                                 tn_error *err) {
  tn_arena scratch = {0};
  *out = (tn_parquet_logical){.kind = TN_PARQUET_LOGICAL_GEOMETRY};
  tn_status status = parse_metadata(out, metadata, arena, &scratch, err);
  tn_arena_clear(&scratch);
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "%s metadata", TN_GEOARROW_WKB);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void add_type(int32_t code, tn_strbuf *out) {
  static const char *const shapes[SHAPES] = {
      "Point",           "LineString",   "Polygon",           "MultiPoint",
      "MultiLineString", "MultiPolygon", "GeometryCollection"};
  static const char *const dimensions[] = {"", " Z", " M", " ZM"};
  int32_t shape = code % 1000, dimension = code / 1000;
  if (shape < 1 || shape > SHAPES || dimension < 0 || dimension > 3) {
    tn_strbuf_addf(out, "type %d", code);
  } else {
    tn_strbuf_addf(out, "%s%s", shapes[shape - 1], dimensions[dimension]);
  }
}

void tn_parquet_geo_text(const tn_parquet_geo *geo, tn_strbuf *out) {
  const char *separator = "";
  for (int axis = 0; axis < 4 && geo->has_box; axis++) {
    if ((axis == 2 && !geo->has_z) || (axis == 3 && !geo->has_m)) continue;
    tn_strbuf_addf(out, "%s%c %.17g to %.17g", separator, "xyzm"[axis], geo -> min[axis],
                   geo -> max[axis]);
    separator = ", ";
  }
  if (geo->has_box && geo->type_count) separator = "; ";
  for (uint32_t i = 0; i < geo->type_count; i++) {
    tn_strbuf_add(out, separator);
    add_type(geo->types[i], out);
    separator = ", ";
  }
}
