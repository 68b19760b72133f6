//! Small kernels, as the compiler writes them, and what a GPU would not forgive.
use super::*;
use crate::memory;
use crate::ptx::Module;

const HEAD: &str = ".version 9.0\n.target sm_80\n.address_size 64\n";

fn kernel(body: &str) -> String {
    format!(
        "{HEAD}.visible .entry k(.param .u64 k_param_0, .param .u32 k_param_1)\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .f32 %f<8>;\n.reg .b64 %rd<8>;\n\
         ld.param.u64 %rd1, [k_param_0];\nld.param.u32 %r1, [k_param_1];\ncvta.to.global.u64 %rd2, %rd1;\n\
         mov.u32 %r2, %tid.x;\nmul.wide.u32 %rd3, %r2, 4;\nadd.s64 %rd4, %rd2, %rd3;\n{body}\nret;\n}}\n"
    )
}

/// Runs `k` on `words` 32-bit words of zeros with blocks of `threads` and the second parameter; gives the words.
fn run_words(ptx: &str, words: usize, grid: u32, threads: u32, second: u32) -> Result<Vec<u32>, String> {
    let module = Module::new(ptx).map_err(|e| e.to_string())?;
    let kernel = module.kernel("k").map_err(|e| e.to_string())?;
    let at = memory::allocate(words * 4).unwrap();
    // SAFETY: just allocated with that many bytes, aligned for any number.
    let memory = unsafe { std::slice::from_raw_parts_mut(at as *mut u32, words) };
    memory.fill(0);
    let mut parameters = at.to_le_bytes().to_vec();
    parameters.extend(second.to_le_bytes());
    let shape = Shape { grid: [grid, 1, 1], block: [threads, 1, 1], shared: 0 };
    let result = run(&kernel, shape, &parameters).map(|()| memory.to_vec());
    memory::free(at);
    result
}

#[test]
fn threads_write_their_own_word() {
    let ptx = kernel("add.s32 %r3, %r2, %r1;\nst.global.u32 [%rd4], %r3;");
    let words = run_words(&ptx, 70, 1, 70, 5).unwrap();
    assert!(words.iter().enumerate().all(|(i, w)| *w == i as u32 + 5), "{words:?}");
}

#[test]
fn an_access_past_the_end_is_named() {
    let ptx = kernel("st.global.u32 [%rd4], %r2;");
    let why = run_words(&ptx, 63, 1, 64, 0).unwrap_err();
    assert!(
        why.contains("k, block [0, 0, 0]: thread 63: a write of 4 bytes")
            && why.contains("252 bytes into an allocation of 252 bytes"),
        "{why}"
    );
    let ptx = kernel("ld.global.u32 %r3, [%rd4+2];");
    let why = run_words(&ptx, 64, 1, 32, 0).unwrap_err();
    assert!(why.contains("not a multiple of 4"), "{why}");
}

#[test]
fn memory_that_was_freed_is_no_memory() {
    // large, so that nothing else comes to lie there
    let at = memory::allocate(64 << 20).unwrap();
    assert!(memory::free(at));
    let kernel = Module::new(&kernel("ld.global.u32 %r3, [%rd4];")).unwrap().kernel("k").unwrap();
    let mut parameters = at.to_le_bytes().to_vec();
    parameters.extend([0; 4]);
    let why = run(&kernel, Shape { grid: [1; 3], block: [1; 3], shared: 0 }, &parameters).unwrap_err();
    assert!(why.contains("a read of 4 bytes"), "{why}");
}

#[test]
fn lanes_part_and_come_together() {
    // odd lanes go round a loop; then all add up by a butterfly
    let ptx = kernel(
        "mov.u32 %r3, 1;\nand.b32 %r4, %r2, 1;\nsetp.eq.s32 %p1, %r4, 0;\n@%p1 bra $L_sum;\nmov.u32 %r5, %r2;\n\
         $L_loop:\nadd.s32 %r3, %r3, 1;\nadd.s32 %r5, %r5, -1;\nsetp.gt.s32 %p2, %r5, 0;\n@%p2 bra $L_loop;\n\
         $L_sum:\nshfl.sync.bfly.b32 %r6|%p3, %r3, 16, 31, -1;\nadd.s32 %r7, %r3, %r6;\nst.global.u32 [%rd4], %r7;",
    );
    let words = run_words(&ptx, 32, 1, 32, 0).unwrap();
    let own = |i: u32| if i.is_multiple_of(2) { 1 } else { 1 + i };
    assert!(words.iter().zip(0..).all(|(w, i)| *w == own(i) + own(i ^ 16)), "{words:?}");
}

#[test]
fn a_shuffle_waits_for_lanes_that_come_later_and_refuses_those_that_do_not() {
    // the compiler may put the other branch behind the shuffle
    let ptx = kernel(
        "mov.u32 %r3, %r2;\nsetp.eq.s32 %p1, %r2, 0;\n@%p1 bra $L_late;\n$L_here:\n\
         shfl.sync.idx.b32 %r4, %r3, 0, 31, -1;\nst.global.u32 [%rd4], %r4;\nbra.uni $L_end;\n\
         $L_late:\nmov.u32 %r3, 77;\nbra.uni $L_here;\n$L_end:",
    );
    assert_eq!(run_words(&ptx, 32, 1, 32, 0).unwrap(), [77; 32]);
    let ptx = kernel(
        "setp.eq.s32 %p1, %r2, 3;\n@%p1 bra $L_other;\nshfl.sync.idx.b32 %r4, %r2, 0, 31, -1;\nbra.uni $L_end;\n\
         $L_other:\nshfl.sync.idx.b32 %r4, %r2, 0, 31, -1;\n$L_end:",
    );
    let why = run_words(&ptx, 32, 1, 32, 0).unwrap_err();
    assert!(why.contains("waits for lanes of its warp that do not come"), "{why}");
}

/// Each thread writes its word of shared memory and reads its neighbour's in the next warp.
fn neighbours(barrier: &str) -> String {
    kernel(&format!(
        ".shared .align 4 .b8 tile[256];\nmov.u32 %r3, tile;\nshl.b32 %r4, %r2, 2;\nadd.s32 %r5, %r3, %r4;\n\
         st.shared.u32 [%r5], %r2;\n{barrier}\nxor.b32 %r6, %r4, 128;\nadd.s32 %r7, %r3, %r6;\n\
         ld.shared.u32 %r8, [%r7];\nst.global.u32 [%rd4], %r8;"
    ))
}

#[test]
fn a_missing_barrier_is_a_race() {
    let words = run_words(&neighbours("bar.sync 0;"), 64, 1, 64, 0).unwrap();
    assert!(words.iter().zip(0..).all(|(w, i)| *w == i ^ 32), "{words:?}");
    let why = run_words(&neighbours(""), 64, 1, 64, 0).unwrap_err();
    assert!(why.contains("race: warp"), "{why}");
}

#[test]
fn a_barrier_that_ended_threads_leave_out_is_refused() {
    let ptx = kernel("setp.lt.u32 %p1, %r2, 7;\n@%p1 bra $L_end;\nbar.sync 0;\n$L_end:");
    let why = run_words(&ptx, 1, 1, 64, 0).unwrap_err();
    assert!(why.contains("7 of 64 threads have ended where the others wait at a barrier"), "{why}");
}

#[test]
fn atomic_sums_of_many_blocks_are_whole() {
    let ptx = kernel("atom.global.add.u32 %r3, [%rd2], 2;\nred.global.add.u32 [%rd2+4], 1;");
    assert_eq!(run_words(&ptx, 2, 64, 32, 0).unwrap(), [4096, 2048]);
}

#[test]
fn functions_are_expanded_where_they_are_called() {
    let function = ".func (.param .b32 twice_retval0) twice(.param .b32 twice_param_0)\n{\n.reg .b32 %r<3>;\n\
                    ld.param.u32 %r1, [twice_param_0];\nadd.s32 %r2, %r1, %r1;\n\
                    st.param.b32 [twice_retval0+0], %r2;\nret;\n}\n";
    let ptx = kernel(
        "{ .reg .b32 temp;\n.param .b32 param0;\nst.param.b32 [param0+0], %r2;\n.param .b32 retval0;\n\
         call.uni (retval0),\ntwice,\n(\nparam0\n);\nld.param.b32 %r3, [retval0+0];\n}\nst.global.u32 [%rd4], %r3;",
    );
    let words = run_words(&ptx.replace(HEAD, &format!("{HEAD}{function}")), 8, 1, 8, 0).unwrap();
    assert_eq!(words, [0, 2, 4, 6, 8, 10, 12, 14]);
}

#[test]
fn vectors_pieces_and_tables_are_read() {
    let table = ".global .align 4 .b8 table[8] = {1, 0, 0, 0, 255, 1};\n";
    let ptx = kernel(
        "mov.u64 %rd5, table;\nld.global.v2.u32 {%r3, %r4}, [%rd5];\nmov.b64 %rd6, {%r3, %r4};\n\
         mov.b64 {%r5, %r6}, %rd6;\nsetp.ne.s32 %p1, %r2, 0;\n@%p1 bra $L;\nst.global.v2.u32 [%rd2], {%r6, %r5};\n$L:",
    );
    let words = run_words(&ptx.replace(HEAD, &format!("{HEAD}{table}")), 2, 1, 4, 0);
    // the table is not in the book of memory until a module is loaded through the driver
    assert!(words.unwrap_err().contains("a read of 4 bytes"));
    let module = Module::new(&format!("{HEAD}{table}")).unwrap();
    let (at, bytes) = module.global_ranges().next().unwrap();
    // SAFETY: the module owns these bytes and is alive.
    assert_eq!(unsafe { std::slice::from_raw_parts(at as *const u8, bytes) }, [1, 0, 0, 0, 255, 1, 0, 0]);
}

#[test]
fn what_is_not_known_is_named() {
    let unknown = |body: &str| run_words(&kernel(body), 1, 1, 1, 0).unwrap_err();
    assert!(
        unknown("frobnicate.u32 %r3, %r2;").contains("an instruction is not known here, in `frobnicate.u32")
    );
    assert!(unknown("mov.u32 %r3, %clock;").contains("an operand"));
    assert!(unknown("bra $L_nowhere;").contains("a label"));
    assert!(unknown("atom.global.add.f16 %r3, [%rd2], %r2;").contains("an atomic operation"));
    assert!(Module::new(HEAD).unwrap().kernel("k").unwrap_err().to_string().contains("no kernel `k`"));
}
