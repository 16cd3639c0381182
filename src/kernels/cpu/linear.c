/* The driver of products with weights of integers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/linear.h"

#include "kernels/cpu/cpu.h"

#define FEW_ROWS      8
#define PASS_PANELS   4 /* else so many share a pass over x, expanded together */
#define TILE_ROWS_MAX 32
#define QUANTIZE_ROWS 4         /* an item */
#define BLOCK_RUN     64        /* bytes of a row that lie together in a block */
#define PASS_BYTES    (8 << 20) /* of quantized x */

/* A weight and its products. */
typedef struct part {
  const tn_linear_args *args;
  const tn_panel_format *format;
  const uint8_t *w;
  int64_t row_bytes;   /* of w in rows; 0: packed */
  int64_t panel_bytes; /* of w packed */
  int64_t N, panels, column_items;
} part;

typedef struct job {
  const tn_linear_isa *isa;
  const tn_tensor *source; /* x as the caller has it */
  part parts[TN_LINEAR_PARTS_MAX];
  int32_t part_count;
  bool few;                  /* all rows, of every pass: isa->few takes them */
  int64_t K, groups, chunks; /* of K: of 32, of TN_CHUNK */
  int64_t item_panels, column_items;
  int64_t first, rows, block_rows; /* of x: this pass, and those of an item */
  tn_int_rows x;
  int8_t *q;
  float *scale;
  int16_t *sums, *wide;
  uint8_t *room; /* worker by worker */
  int64_t room_bytes;
} job;

/* What a worker keeps while it runs an item. */
typedef struct desk {
  tn_int_panel panels[PASS_PANELS];
  uint8_t packed[TN_CHUNK_GROUPS * TN_GROUP_BYTES + 1024]; /* a chunk of weights in rows */
  float sums[TN_BLOCK_ROWS_MAX + TILE_ROWS_MAX][PASS_PANELS * TN_PANEL_ROWS];
} desk;

static int64_t min64(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static int64_t max64(int64_t a, int64_t b) {
  return a > b ? a : b;
}
static int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- x ---- */

static bool takes_wide(const job *j) {
  bool nibbles = false;
  for (int32_t i = 0; i < j->part_count; i++)
    nibbles = nibbles || j->parts[i].format->kind == TN_PANEL_U4;
  return j->few && j->isa->few_wide && nibbles;
}

static const float *floats_of_row(const job *j, int64_t row, float *room) {
  const tn_tensor *x = j->source;
  int64_t K = j->K;
  if (x->dtype == TN_F32) return (const float *)tn_tensor_data(x) + row * K;
  const uint16_t *halves = (const uint16_t *)tn_tensor_data(x) + row * K;
  for (int64_t k = 0; k < K; k++)
    room[k] = x->dtype == TN_F16 ? tn_f16_to_f32(halves[k]) : tn_bf16_to_f32(halves[k]);
  return room;
}

/* Rows of a chunk: whole blocks of those that lie together. */
static int64_t rows_of_x(const job *j, int64_t rows) {
  return j->isa->blocks ? ceil_div(rows, j->isa->tile_rows) * j->isa->tile_rows : rows;
}

/* A row of a chunk into its block; at: the row's place among those of all chunks. */
static void put_in_block(const job *j, int64_t at, const int8_t *q) {
  int64_t rows = j->isa->tile_rows, lane = at % rows;
  int8_t *to = j->q + (at - lane) * TN_CHUNK + lane * BLOCK_RUN;
  for (int64_t k = 0; k < TN_CHUNK; k += BLOCK_RUN) memcpy(to + k * rows, q + k, BLOCK_RUN);
}

static void widen(int16_t *to, const int8_t *q) {
  for (int64_t k = 0; k < TN_CHUNK; k += 4) {
    to[k] = q[k];
    to[k + 1] = q[k + 2];
    to[k + 2] = q[k + 1];
    to[k + 3] = q[k + 3];
  }
}

static void quantize_chunk(const job *j, int64_t at, const float *x, int64_t count) {
  int8_t room[TN_CHUNK], *q = j->isa->blocks ? room : j->q + at * TN_CHUNK;
  int16_t sums[TN_SPANS_MAX] = {0}, *to = j->sums + at * j->x.spans;
  j->scale[at] = j->isa->quantize(q, sums, x, count);
  memset(q + count, 0, (size_t)(TN_CHUNK - count));
  if (j->isa->blocks) put_in_block(j, at, q);
  if (j->wide) widen(j->wide + at * TN_CHUNK, q);
  if (j->x.spans == TN_SPANS_MAX)
    memcpy(to, sums, sizeof sums);
  else
    for (int32_t i = 0; i < j->x.spans; i++) to[i] = (int16_t)(sums[2 * i] + sums[2 * i + 1]);
}

static void quantize_row(const job *j, int64_t row, const float *x) {
  for (int64_t chunk = 0; chunk < j->chunks; chunk++) {
    int64_t k = chunk * TN_CHUNK;
    quantize_chunk(j, chunk * j->x.rows + row, x + k, min64(TN_CHUNK, j->K - k));
  }
}

static void quantize_rows(void *context, int64_t item, int32_t worker) {
  const job *j = context;
  int64_t end = min64(j->rows, (item + 1) * QUANTIZE_ROWS);
  float *room = (float *)(void *)(j->room + worker * j->room_bytes + sizeof(desk));
  for (int64_t row = item * QUANTIZE_ROWS; row < end; row++)
    quantize_row(j, row, floats_of_row(j, j->first + row, room));
}

/* ---- items: some panels by a block of rows ---- */

/* A packed chunk of a panel; rows are packed now, into the desk. */
static const uint8_t *packed_chunk(const part *w, desk *d, int64_t panel, int64_t chunk,
                                   int64_t groups) {
  const tn_panel_format *f = w->format;
  if (!w->row_bytes) return w->w + panel * w->panel_bytes + chunk * tn_panel_chunk_bytes(f);
  int64_t first = panel * TN_PANEL_ROWS;
  const uint8_t *from = w->w + first * w->row_bytes;
  tn_panel_pack_chunk(d->packed, f, w->args->w.dtype,
                      from + chunk * tn_dtype_bytes_of(w->args->w.dtype, TN_CHUNK), w->row_bytes,
                      min64(TN_PANEL_ROWS, w->N - first), (int32_t)groups);
  return d->packed;
}

/* The next lines of what this thread reads and writes are asked for while it multiplies. */

/* A chunk's share of the rows. */
static void ask_for_y(const job *j, const part *w, int64_t first, int64_t count, int64_t chunk,
                      int64_t row, int64_t rows) {
  const tn_tensor *y = &w->args->y;
  int64_t width = tn_dtype_bytes(y->dtype), at = first * TN_PANEL_ROWS;
  int64_t bytes = min64(count * TN_PANEL_ROWS, w->N - at) * width;
  int64_t begin = row + rows * chunk / j->chunks, end = row + rows * (chunk + 1) / j->chunks;
  const char *to = (const char *)tn_tensor_data(y) + ((j->first + begin) * w->N + at) * width;
  for (int64_t r = begin; r < end; r++, to += w->N * width)
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(to + i, 1, 2);
}

/* A share of the first chunk of the panels that come behind these. */
static void ask_for_panels(const job *j, const part *w, int64_t first, int64_t count,
                           int64_t chunk) {
  int64_t bytes = min64(tn_panel_chunk_bytes(w->format), w->panel_bytes);
  int64_t from = bytes * chunk / j->chunks / 64 * 64, end = bytes * (chunk + 1) / j->chunks;
  const uint8_t *next = w->w + (first + count) * w->panel_bytes;
  int64_t behind = min64(count, w->panels - first - count);
  for (int64_t p = 0; p < behind; p++, next += w->panel_bytes)
    for (int64_t i = from; i < end; i += 64) __builtin_prefetch(next + i, 0, 2);
}

/* Panels of the desk from p on by rows [row, row + rows) of a chunk of the pass. */
static void run_chunk(const job *j, const part *w, desk *d, int64_t p, const uint8_t *const *packed,
                      int64_t panels, int64_t chunk, int64_t row, int64_t rows) {
  const int64_t ldc = PASS_PANELS * TN_PANEL_ROWS, tile_rows = j->isa->tile_rows;
  const tn_dtype dtype = w->args->w.dtype;
  int64_t at = chunk * j->x.rows + row;
  float *sums = d->sums[0] + p * TN_PANEL_ROWS;
  if (j->isa->chunk) {
    j->isa->chunk(sums, ldc, rows, &j->x, at, d->panels + p, packed, panels, dtype);
    return;
  }
  for (int64_t q = 0; q < panels; q++) j->isa->expand(&d->panels[p + q], dtype, packed[q]);
  for (int64_t r = 0; r < rows; r += tile_rows)
    for (int64_t q = 0; q < panels; q++)
      j->isa->tile(sums + r * ldc + q * TN_PANEL_ROWS, ldc, min64(tile_rows, rows - r), &j->x,
                   at + r, &d->panels[p + q], w->format);
}

/* Panels [first, first + count) by rows [row, row + rows) of the pass, into d->sums. */
static void multiply(const job *j, const part *w, desk *d, int64_t first, int64_t count,
                     int64_t row, int64_t rows) {
  const int64_t step = w->row_bytes ? 1 : count; /* rows have room for one packed panel */
  memset(d->sums, 0, (size_t)rows * sizeof d->sums[0]);
  if (j->few) {
    j->isa->few(d->sums[0], PASS_PANELS * TN_PANEL_ROWS, rows, &j->x, j->groups,
                w->w + first * w->panel_bytes, w->panel_bytes, count, w->args->w.dtype);
    return;
  }
  for (int64_t chunk = 0; chunk < j->chunks; chunk++) {
    int64_t groups = min64(TN_CHUNK_GROUPS, j->groups - chunk * TN_CHUNK_GROUPS);
    ask_for_y(j, w, first, count, chunk, row, rows);
    if (!w->row_bytes) ask_for_panels(j, w, first, count, chunk);
    for (int64_t p = 0; p < count; p += step) {
      const uint8_t *packed[PASS_PANELS];
      for (int64_t q = 0; q < step; q++) {
        d->panels[p + q].groups = (int32_t)groups;
        packed[q] = packed_chunk(w, d, first + p + q, chunk, groups);
      }
      run_chunk(j, w, d, p, packed, step, chunk, row, rows);
    }
  }
}

static float float_at(const void *data, tn_dtype dtype, int64_t i) {
  if (dtype == TN_F32) return ((const float *)data)[i];
  uint16_t half = ((const uint16_t *)data)[i];
  return dtype == TN_F16 ? tn_f16_to_f32(half) : tn_bf16_to_f32(half);
}

static void store(void *y, tn_dtype dtype, int64_t at, const float *sums, int64_t count, bool add) {
  if (dtype == TN_F32 && !add && count == PASS_PANELS * TN_PANEL_ROWS) {
    memcpy((float *)y + at, sums, PASS_PANELS * TN_PANEL_ROWS * sizeof *sums);
    return;
  }
  if (dtype == TN_F32 && !add) {
    memcpy((float *)y + at, sums, (size_t)count * sizeof *sums);
    return;
  }
  if (dtype == TN_F32) {
    for (int64_t i = 0; i < count; i++) ((float *)y)[at + i] += sums[i];
    return;
  }
  for (int64_t i = 0; i < count; i++) {
    float sum = add ? float_at(y, dtype, at + i) + sums[i] : sums[i];
    ((uint16_t *)y)[at + i] = dtype == TN_F16 ? tn_f32_to_f16(sum) : tn_f32_to_bf16(sum);
  }
}

/* Panels [begin, end) by the block of rows from `row` on. */
static void run_panels(const job *j, const part *w, desk *d, int64_t begin, int64_t end,
                       int64_t row) {
  const tn_tensor *y = &w->args->y;
  int64_t rows = min64(j->block_rows, j->rows - row);
  int64_t step = j->rows <= FEW_ROWS && !j->few ? 1 : PASS_PANELS;
  for (int64_t p = begin; p < end; p += step) {
    int64_t count = min64(step, end - p), col = p * TN_PANEL_ROWS;
    multiply(j, w, d, p, count, row, rows);
    for (int64_t r = 0; r < rows; r++)
      store(tn_tensor_data(y), y->dtype, (j->first + row + r) * w->N + col, d->sums[r],
            min64(count * TN_PANEL_ROWS, w->N - col), w->args->accumulate != 0);
  }
}

/* The part that holds a column of items; *column becomes the place in it. */
static const part *find_part(const job *j, int64_t *column) {
  const part *w = j->parts;
  for (; *column >= w->column_items; w++) *column -= w->column_items;
  return w;
}

static void run_items(void *context, int64_t first, int64_t count, int32_t worker) {
  const job *j = context;
  desk *d = (desk *)(void *)(j->room + worker * j->room_bytes);
  if (j->isa->enter) j->isa->enter();
  for (int64_t end = first + count; first < end;) {
    int64_t column = first % j->column_items, row = first / j->column_items * j->block_rows;
    const part *w = find_part(j, &column);
    int64_t columns = min64(end - first, w->column_items - column);
    run_panels(j, w, d, column * j->item_panels,
               min64(w->panels, (column + columns) * j->item_panels), row);
    first += columns;
  }
  if (j->isa->leave) j->isa->leave();
}

/* ---- the call ---- */

/* Several items a thread, so that none waits long for the last. */
static void cut_columns(job *j, int64_t items, int64_t threads) {
  int64_t panels = 0;
  for (int32_t i = 0; i < j->part_count; i++) panels += j->parts[i].panels;
  j->item_panels = max64(1, min64(PASS_PANELS, panels * items / (4 * threads)));
  if (j->few) j->item_panels = 1; /* a thread takes several */
  j->column_items = 0;
  for (int32_t i = 0; i < j->part_count; i++) {
    j->parts[i].column_items = ceil_div(j->parts[i].panels, j->item_panels);
    j->column_items += j->parts[i].column_items;
  }
}

static void run_pass(const job *base, tn_stream *stream, int64_t first, int64_t rows) {
  job j = *base;
  int64_t weights = 0;
  j.first = first;
  j.rows = rows;
  j.x.rows = rows_of_x(&j, rows);
  for (int32_t i = 0; i < j.part_count; i++) weights += j.parts[i].N * j.K;
  tn_pool *pool = tn_cpu_pool_for(stream, (2 * rows + 6) * weights);
  int64_t items = ceil_div(rows, j.isa->block_rows);
  int64_t tile_rows = j.isa->tile_rows; /* whole tiles an item, as equal as may be */
  j.block_rows = ceil_div(ceil_div(rows, items), tile_rows) * tile_rows;
  cut_columns(&j, items, tn_pool_threads(pool));
  tn_pool_run(tn_cpu_pool_for(stream, 20 * rows * j.K), ceil_div(rows, QUANTIZE_ROWS),
              quantize_rows, &j);
  tn_pool_run_near(pool, items * j.column_items, (tn_pool_grain){1, j.few ? PASS_PANELS : 1},
                   run_items, &j);
}

static void *take(uint8_t **room, int64_t bytes) {
  void *at = *room;
  *room += ceil_div(bytes, 64) * 64;
  return at;
}

/* Scratch of a pass of `rows`; with room NULL it only counts. */
static int64_t lay_out(job *j, uint8_t *room, int64_t rows, int64_t threads) {
  uint8_t *at = room;
  int64_t all = rows_of_x(j, rows) * j->chunks;
  j->room_bytes = ceil_div((int64_t)sizeof(desk) + j->K * (int64_t)sizeof(float), 64) * 64;
  j->room = take(&at, threads * j->room_bytes);
  j->q = take(&at, all * TN_CHUNK);
  j->scale = take(&at, all * (int64_t)sizeof *j->scale);
  j->sums = take(&at, all * j->x.spans * (int64_t)sizeof *j->sums);
  j->wide = takes_wide(j) ? take(&at, all * TN_CHUNK * (int64_t)sizeof *j->wide) : NULL;
  j->x.q = j->q;
  j->x.scale = j->scale;
  j->x.sums = j->sums;
  j->x.wide = j->wide;
  return at - room;
}

tn_status tn_linear_refuse_f64(const tn_linear_args *args, tn_error *err) {
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "linear: x is %s and y %s; packed weights take float32, bfloat16 and float16",
                 tn_dtype_name(args->x.dtype), tn_dtype_name(args->y.dtype));
}

bool tn_linear_takes_int(const tn_linear_args *args) {
  bool doubles = args->x.dtype == TN_F64 || args->y.dtype == TN_F64;
  return tn_panel_format_of(args->w.dtype) && (args->w.layout || !doubles);
}

static part part_of(const tn_linear_args *args) {
  int64_t N = args->w.shape[0], K = args->x.shape[1];
  bool packed = args->w.layout != 0;
  return (part){.args = args,
                .format = tn_panel_format_of(args->w.dtype),
                .w = tn_tensor_data(&args->w),
                .row_bytes = packed ? 0 : tn_dtype_bytes_of(args->w.dtype, K),
                .panel_bytes = packed ? tn_pack_bytes(args->w.dtype, 1, K) : 0,
                .N = N,
                .panels = ceil_div(N, TN_PANEL_ROWS)};
}

/* How many of the calls from the first on take the same quantized x in one run. */
static int32_t together(const tn_linear_args *args, int32_t count) {
  int32_t n = 1;
  int32_t span = tn_panel_format_of(args->w.dtype)->span;
  while (n < count && n < TN_LINEAR_PARTS_MAX &&
         tn_panel_format_of(args[n].w.dtype)->span == span &&
         (args[n].w.layout != 0) == (args->w.layout != 0))
    n++;
  return n;
}

/* Calls that go together. */
static tn_status run_call(const tn_linear_isa *isa, tn_stream *stream, const tn_linear_args *args,
                          int32_t count, tn_error *err) {
  int64_t M = args->x.shape[0], K = args->x.shape[1];
  job j = {.isa = isa,
           .source = &args->x,
           .few = isa->few && args->w.layout && M <= isa->few_rows,
           .K = K,
           .groups = K / TN_GROUP,
           .chunks = ceil_div(K, TN_CHUNK)};
  for (int32_t i = 0; i < count; i++) {
    if (args[i].x.dtype == TN_F64 || args[i].y.dtype == TN_F64)
      return tn_linear_refuse_f64(&args[i], err);
    if (args[i].w.shape[0] > 0) j.parts[j.part_count++] = part_of(&args[i]);
  }
  if (M == 0 || j.part_count == 0) return TN_OK;
  j.x.spans = TN_CHUNK / j.parts[0].format->span;
  int64_t rows = min64(M, max64(1, PASS_BYTES / max64(K, 1)));
  int32_t threads = tn_pool_threads(stream->pool);
  int64_t bytes = lay_out(&j, NULL, rows, threads);
  void *room;
  TN_TRY(tn_stream_scratch(stream, (size_t)bytes, &room, err));
  lay_out(&j, room, rows, threads);
  for (int64_t first = 0; first < M; first += rows)
    run_pass(&j, stream, first, min64(rows, M - first));
  return TN_OK;
}

tn_status tn_linear_int(const tn_linear_isa *isa, tn_stream *stream, const tn_linear_args *args,
                        int32_t count, tn_error *err) {
  for (int32_t i = 0, n; i < count; i += n) {
    n = together(args + i, count - i);
    TN_TRY(run_call(isa, stream, args + i, n, err));
  }
  return TN_OK;
}

tn_status tn_linear_each(const tn_linear_isa *isa, tn_linear_fn other, tn_stream *stream,
                         const tn_linear_args *args, int32_t count, tn_error *err) {
  for (int32_t i = 0, n; i < count; i += n) {
    for (n = 0; i + n < count && tn_linear_takes_int(&args[i + n]);) n++;
    if (n > 0) {
      TN_TRY(tn_linear_int(isa, stream, args + i, n, err));
    } else {
      TN_TRY(other(stream, &args[i], err));
      n = 1;
    }
  }
  return TN_OK;
}
