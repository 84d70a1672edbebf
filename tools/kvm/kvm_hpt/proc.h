/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The HPT files that processes have open, and their state from
 * /proc/PID/fdinfo.
 */
#ifndef KVM_HPT_PROC_H
#define KVM_HPT_PROC_H

#include <stddef.h>

#include <linux/types.h>

enum hpt_field {
	HPTES,
	PASS,
	POSITION,
	FIRST_LEFT,
	FIRST_BYTES,
	CHANGED,
	CHANGED_BYTES,
	READ_VALID,
	READ_INVALID,
	READ_BYTES,
	WRITTEN_VALID,
	WRITTEN_INVALID,
	WRITTEN_BYTES,
	REFUSED,
	REFUSED_INDEX,
	FLAGS,
	NR_FIELDS,
};

extern const char * const hpt_field_names[NR_FIELDS];

/**
 * struct hpt_fd - the state of an HPT file
 * @fd: its descriptor in the process
 * @mode: "read" or "write"
 * @state: "current", "none" or "stale"
 * @has: a bit for each field that the kernel reports
 * @field: values of the fields
 * @rate: bytes per second since the last look
 */
struct hpt_fd {
	unsigned int fd;
	char mode[8];
	char state[16];
	u32 has;
	u64 field[NR_FIELDS];
	double rate;
};

/**
 * struct hpt_files - all HPT files of a process
 * @time: time at which their state was read
 * @nr: number of files
 * @fd: the files
 */
struct hpt_files {
	double time;
	unsigned int nr;
	struct hpt_fd *fd;
};

/**
 * struct hpt_process - a process that has HPT files open
 * @pid: its ID
 * @name: name of the guest, or of the program
 * @files: the files
 */
struct hpt_process {
	char pid[16];
	char name[64];
	struct hpt_files files;
};

int hpt_files(const char *pid, struct hpt_files *files);
int hpt_processes(struct hpt_process **list);
void hpt_processes_free(struct hpt_process *list, int nr);

static inline u64 hpt_fd_bytes(const struct hpt_fd *hpt)
{
	return hpt->field[READ_BYTES] + hpt->field[WRITTEN_BYTES];
}

static inline bool hpt_fd_has(const struct hpt_fd *hpt, enum hpt_field field)
{
	return hpt->has & 1 << field;
}

#endif
