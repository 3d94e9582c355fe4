/* Whole texts, of which a part may be anything. */
#ifndef SUPPORT_GLOB_TEXT_H
#define SUPPORT_GLOB_TEXT_H

/* Fails the test unless found is as expected, in which '*' stands for any bytes of a line; NULL is the
 * empty text. what names it. */
void expect_text(const char *what, const char *expected, const char *found);

#endif
