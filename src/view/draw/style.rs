//! The colours of the drawing, light and dark, as CSS. All of it is below the class `dag`.

pub const STYLE: &str = "\
.dag{--paper:#fff;--text:#1f2328;--faint:#59636e;--edge:#8c959f;--strong:#0969da;\
--box:#f6f8fa;--rim:#a9b1ba;--group:#eef1f480;--good:#dafbe1;--good-rim:#1a7f37;--hit:#ddf4ff;--hit-rim:#0969da;\
--bad:#ffdcd7;--bad-rim:#cf222e;--care:#fff3bf;--care-rim:#9a6700;--busy:#f3e8ff;--busy-rim:#8250df}\
@media(prefers-color-scheme:dark){.dag{--paper:#0d1117;--text:#e6edf3;--faint:#9198a1;--edge:#7d8590;\
--strong:#58a6ff;--box:#1b2129;--rim:#545d68;--group:#161b2280;--good:#12351f;--good-rim:#3fb950;--hit:#10304f;\
--hit-rim:#58a6ff;--bad:#4c1a1c;--bad-rim:#f85149;--care:#3a2d05;--care-rim:#d29922;--busy:#2e1c4a;\
--busy-rim:#a371f7}}\
.dag .paper{fill:var(--paper)}svg.dag{background:var(--paper)}\
.dag text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace;\
text-anchor:middle;fill:var(--text)}\
.dag .label{font-size:13px}.dag .note{font-size:10px;fill:var(--faint)}\
.dag .head{font-size:12px;font-weight:600;text-anchor:start}\
.dag .head .more{font-size:10px;font-weight:400;fill:var(--faint)}\
.dag .box,.dag .if{fill:var(--box);stroke:var(--rim);stroke-width:1.2}\
.dag .group .box{fill:var(--group)}\
.dag .conditional .box{stroke-dasharray:5 3}.dag .hook .box{stroke-dasharray:1.5 3;stroke-linecap:round}\
.dag .line{fill:none;stroke:var(--edge);stroke-width:1.3}.dag .order .line{stroke-dasharray:4 4}\
.dag .reach{fill:none;stroke:transparent;stroke-width:10}\
.dag .arrow{fill:var(--edge)}\
.dag .edge:hover .line{stroke:var(--strong);stroke-width:2.4}\
.dag a:hover .box,.dag .node:hover .box{stroke:var(--strong);stroke-width:2}\
.dag .executed>.box,.dag .executed>.if{fill:var(--good);stroke:var(--good-rim)}\
.dag .cached>.box,.dag .cached>.if{fill:var(--hit);stroke:var(--hit-rim)}\
.dag .failed>.box,.dag .failed>.if{fill:var(--bad);stroke:var(--bad-rim);stroke-width:2}\
.dag .cancelled>.box,.dag .cancelled>.if{fill:var(--care);stroke:var(--care-rim)}\
.dag .running>.box,.dag .running>.if{fill:var(--busy);stroke:var(--busy-rim)}\
.dag .skipped>.box{fill:none}.dag .skipped .label,.dag .waiting .label{fill:var(--faint)}\
.dag .group.executed>.box,.dag .group.cached>.box,.dag .group.failed>.box,.dag .group.cancelled>.box,\
.dag .group.running>.box{fill:var(--group)}";
