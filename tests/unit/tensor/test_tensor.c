/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

static tn_buffer *new_buffer(size_t bytes) {
  tn_buffer *buffer;
  assert_int_equal(tn_buffer_new(&buffer, bytes, NULL), TN_OK);
  return buffer;
}

static void a_view_is_contiguous(void **state) {
  tn_buffer *buffer = new_buffer(100);
  tn_tensor t;
  assert_int_equal(tn_tensor_view(&t, buffer, 4, TN_F32, 3, (int64_t[]){2, 3, 4}, NULL), TN_OK);
  assert_int_equal(tn_tensor_count(&t), 24);
  assert_int_equal(tn_tensor_bytes(&t), 96);
  assert_int_equal(t.strides[0], 12);
  assert_true(tn_tensor_is_contiguous(&t));
  assert_ptr_equal(tn_tensor_data(&t), (char *)buffer->data + 4);
  tn_tensor rows = tn_tensor_rows(&t, 1, 1);
  assert_ptr_equal(tn_tensor_data(&rows), (char *)buffer->data + 4 + 48);
  assert_int_equal(tn_tensor_count(&rows), 12);
  t.strides[1] = 8;
  assert_false(tn_tensor_is_contiguous(&t));
  t.shape[0] = 0; /* without elements there is nothing to be apart */
  assert_true(tn_tensor_is_contiguous(&t));
  tn_buffer_drop(buffer);
}

static void impossible_views_are_refused(void **state) {
  tn_buffer *buffer = new_buffer(100);
  tn_tensor t;
  tn_error err;
  const int64_t big = INT64_MAX / 2;
  assert_int_equal(tn_tensor_view(&t, buffer, 8, TN_F32, 1, (int64_t[]){24}, &err),
                   TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "tensor: 96 bytes at byte 8 reach past a buffer of 100 bytes");
  assert_int_equal(tn_tensor_view(&t, buffer, -4, TN_F32, 1, (int64_t[]){1}, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, buffer, INT64_MAX, TN_F32, 1, (int64_t[]){1}, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 2, (int64_t[]){2, -1}, &err),
                   TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "tensor: dimension 1 is -1");
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 2, (int64_t[]){big, big}, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 1, (int64_t[]){big}, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 7, (int64_t[]){1, 1, 1, 1, 1, 1, 1}, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, buffer, 0, (tn_dtype)99, 1, (int64_t[]){1}, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, NULL, 0, TN_F32, 1, (int64_t[]){1}, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 3, (int64_t[]){big, 0, big}, &err),
                   TN_ERR_ARGUMENT); /* its strides would overflow */
  assert_int_equal(tn_tensor_view(&t, buffer, 100, TN_F32, 1, (int64_t[]){0}, &err), TN_OK);
  tn_buffer_drop(buffer);
}

static void reshape_keeps_the_elements(void **state) {
  tn_buffer *buffer = new_buffer(96);
  tn_tensor t, u;
  tn_error err;
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 2, (int64_t[]){4, 6}, NULL), TN_OK);
  assert_int_equal(tn_tensor_reshape(&u, &t, 3, (int64_t[]){2, 2, 6}, &err), TN_OK);
  assert_int_equal(u.strides[0], 12);
  assert_int_equal(tn_tensor_reshape(&t, &t, 1, (int64_t[]){24}, &err), TN_OK);
  assert_int_equal(t.rank, 1);
  assert_int_equal(tn_tensor_reshape(&u, &t, 1, (int64_t[]){25}, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "reshape: the new shape has 25 elements, the tensor 24");
  t.strides[0] = 2;
  assert_int_equal(tn_tensor_reshape(&u, &t, 1, (int64_t[]){24}, &err), TN_ERR_ARGUMENT);
  tn_buffer_drop(buffer);
}

static void describes_itself(void **state) {
  tn_buffer *buffer = new_buffer(1024);
  tn_tensor t;
  tn_strbuf text = {0};
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_F32, 2, (int64_t[]){2, 128}, NULL), TN_OK);
  tn_tensor_describe(&t, &text);
  assert_string_equal(text.data, "float32[2, 128]");
  tn_strbuf_clear(&text);
  assert_int_equal(tn_tensor_view(&t, buffer, 0, TN_I8, 0, NULL, NULL), TN_OK);
  assert_int_equal(tn_tensor_count(&t), 1);
  tn_tensor_describe(&t, &text);
  assert_string_equal(text.data, "int8[]");
  tn_strbuf_clear(&text);
  tn_buffer_drop(buffer);
}

static void the_cpu_copies_and_counts(void **state) {
  tn_device *cpu = tn_device_cpu();
  tn_stream *stream;
  tn_event *event;
  tn_buffer *a, *b;
  tn_error err;
  assert_int_equal(cpu->kind, TN_CPU);
  assert_true(cpu->memory_bytes > 1 << 20);
  assert_int_equal(tn_stream_open(cpu, NULL, &stream, &err), TN_OK);
  assert_int_equal(tn_device_buffer_new(cpu, &a, 16, &err), TN_OK);
  assert_int_equal(tn_device_buffer_new(cpu, &b, 16, &err), TN_OK);
  memcpy(a->data, "0123456789abcdef", 16);
  assert_int_equal(cpu->table->copy(stream, b, 4, a, 8, 8, &err), TN_OK);
  assert_memory_equal(b->data, "\0\0\0\089abcdef\0\0\0\0", 16);
  assert_int_equal(cpu->table->copy(stream, b, 9, a, 0, 8, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "copy: 8 bytes at byte 9 reach past a destination of 16 bytes");
  assert_int_equal(cpu->table->copy(stream, b, 0, a, SIZE_MAX, 8, &err), TN_ERR_ARGUMENT);
  assert_int_equal(cpu->table->event_record(stream, &event, &err), TN_OK);
  assert_int_equal(cpu->table->event_wait(stream, event, &err), TN_OK);
  assert_int_equal(tn_stream_synchronize(stream, &err), TN_OK);
  cpu->table->event_free(event);
  tn_stream_close(stream);
  tn_stream_close(NULL);
  tn_buffer_drop(a);
  tn_buffer_drop(b);
}

static void scratch_grows_and_goes_with_its_stream(void **state) {
  tn_stream *stream;
  void *small, *again, *large;
  tn_error err;
  int64_t live = tn_alloc_live();
  assert_int_equal(tn_stream_open(tn_device_cpu(), NULL, &stream, &err), TN_OK);
  assert_int_equal(tn_stream_scratch(stream, 1000, &small, &err), TN_OK);
  assert_int_equal((uintptr_t)small % 64, 0);
  assert_int_equal(tn_stream_scratch(stream, 10, &again, &err), TN_OK);
  assert_ptr_equal(small, again);
  tn_alloc_fail_at(1); /* asks for more than needed, then for what is needed */
  assert_int_equal(tn_stream_scratch(stream, 100000, &large, &err), TN_OK);
  memset(large, 1, 100000);
  assert_int_equal(tn_stream_scratch(stream, SIZE_MAX / 2, &large, &err), TN_ERR_MEMORY);
  tn_stream_close(stream);
  tn_alloc_fail_at(1);
  assert_int_equal(tn_stream_open(tn_device_cpu(), NULL, &stream, &err), TN_ERR_MEMORY);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_view_is_contiguous),
      cmocka_unit_test(impossible_views_are_refused),
      cmocka_unit_test(reshape_keeps_the_elements),
      cmocka_unit_test(describes_itself),
      cmocka_unit_test(the_cpu_copies_and_counts),
      cmocka_unit_test(scratch_grows_and_goes_with_its_stream),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
