/* log.h - leveled messages to whoever the program chose.
 *
 * The library never prints: without a sink messages vanish.  `cli` installs one that writes lines
 * to stderr.  Thread: any; the sink is called under a lock, one message at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_LOG_H
#define TN_BASE_LOG_H

typedef enum tn_log_level { TN_LOG_DEBUG, TN_LOG_INFO, TN_LOG_WARN, TN_LOG_ERROR } tn_log_level;
typedef void (*tn_log_sink)(void *context, tn_log_level level, const char *room, const char *text);

void tn_log_to(tn_log_sink sink, void *context, tn_log_level level_min);
void tn_log(tn_log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *tn_log_level_name(tn_log_level level);

#endif
