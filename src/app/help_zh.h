/* What --help says, in Chinese: a catalogue by the English text, as gettext(3) has it. */
#ifndef APP_HELP_ZH_H
#define APP_HELP_ZH_H

/* The Chinese of a text of --help; NULL where the catalogue lacks it, which the unit tests of both
 * programs' options find out. */
const char *help_in_chinese(const char *english);

#endif
