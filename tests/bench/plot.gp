# Draws the benchmark's table: one panel a column, bars by cost, the least at the top.
# Called by scripts/bench.sh with `folder` (written by tabulate.py) and `target` (an SVG file).
load folder.'/panels.gp'
rows = (panels + 1) / 2
set terminal svg size 1160, 40 + 290 * rows font 'sans-serif,13' background '#ffffff'
set output target
set encoding utf8
set multiplot layout rows, 2 margins char 34, char 8, char 1, char 4 spacing char 42, char 3.5 \
    title 'CPU time and memory that a server spends: shorter is better (blue: tlsmsg; dark grey: other servers; light grey: yardsticks, such as the kernel or OpenSSL alone)'
set style fill solid 1.0 noborder
unset key
unset xtics
set border 0
set ytics nomirror scale 0
colour(kind) = kind == 2 ? 0x1f6feb : kind == 1 ? 0x8c96a3 : 0xcdd4dc
do for [panel = 1:panels] {
    file = sprintf('%s/%d.dat', folder, panel)
    set xrange [*:*]
    set yrange [*:*]
    stats file using 1 nooutput
    set xrange [0:STATS_max]
    set yrange [-0.6:STATS_records - 0.4]
    set title word(titles, panel) offset -8, -0.7
    plot file using (0.5 * $1):0:(0.5 * $1):(0.36):(colour($2)):ytic(3) \
             with boxxyerror linecolor rgb variable, \
         file using 1:0:4 with labels left offset 0.4, 0
}
unset multiplot
