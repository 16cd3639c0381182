/* geo.h - GEOMETRY and GEOGRAPHY columns: well-known binary that carries its coordinate system.
 *
 * In Arrow such a column is binary with the extension name geoarrow.wkb and metadata in JSON:
 *     {"crs": "OGC:CRS84", "crs_type": "authority_code", "edges": "spherical"}
 * Parquet says the same in a LogicalType: crs as a string ("" and none mean OGC:CRS84, "srid:5070",
 * "projjson:key" for a value in the file's key-value metadata, or anything), and the edges of a
 * GEOGRAPHY.  The bytes are not looked at.  Sources: Geospatial.md of parquet-format,
 * https://geoarrow.org/extension-types. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_GEO_H
#define TN_COLUMNS_PARQUET_GEO_H
#include "columns/parquet/metadata.h"

#define TN_GEOARROW_WKB "geoarrow.wkb"

/* The extension metadata of a column; `pairs` is the file's key-value metadata. */
void tn_parquet_geo_metadata(const tn_parquet_logical *logical, const tn_parquet_pair *pairs,
                             uint32_t pair_count, tn_strbuf *out);
/* The logical type of a column with such extension metadata ("" is fine); crs is in the arena.
 * Unknown coordinates become "srid:0".  TN_ERR_DATA: not JSON, or other edges. */
TN_NODISCARD tn_status tn_parquet_geo_logical(tn_parquet_logical *out, tn_str metadata,
                                              tn_arena *arena, tn_error *err);
/* "x 10 to 40, y 10 to 40, m 200 to 1600; Point, LineString Z, Polygon ZM" */
void tn_parquet_geo_text(const tn_parquet_geo *geo, tn_strbuf *out);

#endif
