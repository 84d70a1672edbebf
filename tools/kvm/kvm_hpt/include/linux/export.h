/* SPDX-License-Identifier: GPL-2.0 */
/* User space has no modules */
