/* mapped.h - the files that are mapped now, for a word about one that is cut short meanwhile.
 *
 * Reading a mapped page behind a file's new end raises SIGBUS; nothing that was promised can be
 * kept then.  A program's handler may at least name the file before it ends (cli/terminal.c).
 *
 * Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_MAPPED_H
#define TN_BASE_MAPPED_H
#include <stddef.h>

/* Around a mapping's life.  The first few hundred are known by name. */
void tn_mapped_note(const void *data, size_t bytes, const char *path);
void tn_mapped_forget(const void *data);
/* The file whose mapping `at` lies in; NULL: none that is known.  A signal handler may ask. */
const char *tn_mapped_path(const void *at);

#endif
