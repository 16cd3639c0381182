/* SPDX-License-Identifier: Apache-2.0 */
#include "any_array.h"
#include "columns/arrow_device.h"

static void structs_have_the_layout_of_the_specification(void **state) {
  assert_int_equal(sizeof(ArrowArray), 80);
  assert_int_equal(sizeof(ArrowDeviceArray), 128);
  assert_int_equal(offsetof(ArrowDeviceArray, device_id), 80);
  assert_int_equal(offsetof(ArrowDeviceArray, device_type), 88);
  assert_int_equal(offsetof(ArrowDeviceArray, sync_event), 96);
  assert_int_equal(offsetof(ArrowDeviceArray, reserved), 104);
  assert_int_equal(sizeof(ArrowDeviceArrayStream), 48);
  assert_int_equal(offsetof(ArrowDeviceArrayStream, get_next), 16);
  assert_int_equal(offsetof(ArrowDeviceArrayStream, private_data), 40);
}

static void numbers(ArrowArray *out, int64_t rows) {
  any_array a;
  any_random r = {.seed = 1};
  any_open(&a, "+s{n=l}");
  OK(any_make(out, a.field, &r, rows, &problem));
  any_close(&a);
}

static void arrays_go_out_and_come_in(void **state) {
  static const ArrowDeviceType readable[] = {ARROW_DEVICE_CPU, ARROW_DEVICE_CUDA_HOST,
                                             ARROW_DEVICE_ROCM_HOST, ARROW_DEVICE_CUDA_MANAGED};
  for (int i = 0; i < 4; i++) {
    ArrowArray array, back;
    ArrowDeviceArray device;
    numbers(&array, 5);
    const void *values = array.children[0]->buffers[1];
    tn_arrow_device_array_from_host(&device, &array);
    assert_null(array.release);
    assert_int_equal(device.device_type, ARROW_DEVICE_CPU);
    assert_int_equal(device.device_id, -1);
    assert_null(device.sync_event);
    device.device_type = readable[i];
    OK(tn_arrow_device_array_to_host(&back, &device, &problem));
    assert_null(device.array.release);
    assert_ptr_equal(back.children[0]->buffers[1], values);
    tn_array_clear(&back);
  }
}

static void other_devices_are_refused_by_name(void **state) {
  static const struct {
    ArrowDeviceType type;
    const char *name;
  } rows[] = {{ARROW_DEVICE_CUDA, "2 (CUDA)"},
              {ARROW_DEVICE_VULKAN, "7 (Vulkan)"},
              {ARROW_DEVICE_HEXAGON, "(Hexagon)"},
              {5, "5 (unknown)"},
              {17, "17 (unknown)"},
              {-1, "-1 (unknown)"},
              {0, "0 (unknown)"}};
  ArrowArray array, back;
  ArrowDeviceArray device;
  tn_error err = {0};
  numbers(&array, 5);
  tn_arrow_device_array_from_host(&device, &array);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    device.device_type = rows[i].type;
    assert_int_equal(tn_arrow_device_array_to_host(&back, &device, &err), TN_ERR_UNSUPPORTED);
    CONTAINS(err.text, rows[i].name);
    assert_non_null(device.array.release); /* still the caller's */
  }
  int event;
  device.device_type = ARROW_DEVICE_CUDA_HOST;
  device.sync_event = &event;
  assert_int_equal(tn_arrow_device_array_to_host(&back, &device, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "event");
  tn_array_clear(&device.array);
}

/* ---- streams ---- */
typedef struct counter { /* a reader of `left` batches; the next one is an error */
  int64_t left;
  bool fails, freed;
} counter;

static tn_status counter_schema(void *reader, ArrowSchema *out, tn_error *err) {
  any_array a;
  any_open(&a, "+s{n=l}");
  *out = a.schema;
  tn_arena_clear(&a.arena);
  return TN_OK;
}

static tn_status counter_next(void *reader, ArrowArray *out, tn_error *err) {
  counter *c = reader;
  if (c->left-- > 0) {
    numbers(out, 3);
    return TN_OK;
  }
  return c->fails ? tn_fail(err, TN_ERR_DATA, "batch 3 is bad") : TN_END;
}

static void counter_free(void *reader) {
  ((counter *)reader)->freed = true;
}

static const tn_reader_ops counter_ops = {counter_schema, counter_next, counter_free};

static void streams_go_out_and_come_in(void **state) {
  for (int fails = 0; fails < 2; fails++) {
    counter c = {.left = 2, .fails = fails};
    ArrowArrayStream stream, back;
    ArrowDeviceArrayStream device;
    ArrowSchema schema;
    ArrowArray batch;
    tn_error err = {0};
    OK(tn_stream_new(&stream, &counter_ops, &c, &problem));
    OK(tn_arrow_device_stream_from_host(&device, &stream, &problem));
    assert_int_equal(device.device_type, ARROW_DEVICE_CPU);
    OK(tn_arrow_device_stream_to_host(&back, &device, &problem));
    assert_null(device.release);
    OK(tn_stream_schema(&back, &schema, &problem));
    assert_string_equal(schema.children[0]->name, "n");
    tn_schema_clear(&schema);
    for (int i = 0; i < 2; i++) {
      OK(tn_stream_next(&back, &batch, &problem));
      assert_int_equal(batch.length, 3);
      tn_array_clear(&batch);
    }
    assert_int_equal(tn_stream_next(&back, &batch, &err), fails ? TN_ERR_DATA : TN_END);
    if (fails) CONTAINS(err.text, "batch 3 is bad");
    assert_false(c.freed);
    tn_stream_clear(&back);
    assert_true(c.freed);
  }
}

static int on_a_gpu(ArrowDeviceArrayStream *self, ArrowDeviceArray *out) {
  ArrowArray array;
  numbers(&array, 3);
  tn_arrow_device_array_from_host(out, &array);
  out->device_type = ARROW_DEVICE_CUDA;
  return 0;
}

static void streams_of_other_devices_are_refused(void **state) {
  counter c = {.left = 1};
  ArrowArrayStream stream, back;
  ArrowDeviceArrayStream device;
  ArrowArray batch;
  tn_error err = {0};
  int64_t live = tn_alloc_live();
  OK(tn_stream_new(&stream, &counter_ops, &c, &problem));
  OK(tn_arrow_device_stream_from_host(&device, &stream, &problem));
  device.get_next = on_a_gpu; /* one array of a CPU stream lies elsewhere */
  OK(tn_arrow_device_stream_to_host(&back, &device, &problem));
  assert_int_equal(tn_stream_next(&back, &batch, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "CUDA");
  tn_stream_clear(&back);
  OK(tn_stream_new(&stream, &counter_ops, &c, &problem));
  OK(tn_arrow_device_stream_from_host(&device, &stream, &problem));
  device.device_type = ARROW_DEVICE_METAL;
  c.freed = false;
  assert_int_equal(tn_arrow_device_stream_to_host(&back, &device, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "Metal");
  assert_true(c.freed);
  assert_int_equal(tn_alloc_live(), live);
}

static tn_status there_and_back(void *context, tn_error *err) {
  counter c = {.left = 1};
  ArrowArrayStream stream, back;
  ArrowDeviceArrayStream device;
  TN_TRY(tn_stream_new(&stream, &counter_ops, &c, err));
  TN_TRY(tn_arrow_device_stream_from_host(&device, &stream, err));
  TN_TRY(tn_arrow_device_stream_to_host(&back, &device, err));
  tn_stream_clear(&back);
  return TN_OK;
}

static void every_allocation_may_fail(void **state) {
  assert_int_equal(fail_each_allocation(there_and_back, NULL), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(structs_have_the_layout_of_the_specification),
      cmocka_unit_test(arrays_go_out_and_come_in),
      cmocka_unit_test(other_devices_are_refused_by_name),
      cmocka_unit_test(streams_go_out_and_come_in),
      cmocka_unit_test(streams_of_other_devices_are_refused),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
