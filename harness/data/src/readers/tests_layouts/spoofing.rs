//! Anti-spoofing sets as distributed, and the lists of few_shot_fas.

use super::*;

#[test]
fn anti_spoofing_sets_as_distributed() {
    let mut msu = pictures(&[
        "MSU-MFSD/scene01/real/frames/real_client001_android_SD_scene01/1.png",
        "MSU-MFSD/scene01/attack/frames/attack_client002_laptop_SD_printed_photo_scene01/1.png",
    ]);
    msu.push(file("MSU-MFSD/train_sub_list.txt", "01\r\n"));
    msu.push(file("MSU-MFSD/test_sub_list.txt", "02\r\n"));
    good(
        "msu",
        &msu,
        &[
            "printed_photo/attack_client002_laptop_SD_printed_photo_scene01/1 1 test [client002]",
            "real/real_client001_android_SD_scene01/1 0 train [client001]",
        ],
    );
    bad(
        "msu",
        &msu,
        "+MSU-MFSD/test_sub_list.txt",
        "01\n02\n",
        &["line 1, `01`: the client is in train already"],
    );
    bad("msu", &msu, "+MSU-MFSD/test_sub_list.txt", "03\n", &["the client is in neither list"]);
    bad("msu", &msu, "-MSU-MFSD/train_sub_list.txt", "", &["list of train clients"]);

    let casia = pictures(&[
        "CASIA-FASD/train_release/1/HR_1.avi",
        "CASIA-FASD/train_release/1/3.avi",
        "CASIA-FASD/test_release/1/7.avi",
    ]);
    good(
        "casia",
        &casia,
        &[
            "real/train_1_HR_1/0 0 train [train-1]",
            "video/test_1_7/0 1 test [test-1]",
            "warped/train_1_3/0 1 train [train-1]",
        ],
    );
    bad("casia", &casia, "+CASIA-FASD/test_release/1/9.avi", "", &["not one of the twelve videos"]);

    let replay = pictures(&[
        "Replay-Attack/train/real/client001_session01_webcam_authenticate_adverse_1.mov",
        "Replay-Attack/train/attack/fixed/attack_print_client001_session01_highdef_photo_adverse.mov",
        "Replay-Attack/train/attack/hand/attack_print_client001_session01_highdef_photo_adverse.mov",
        "Replay-Attack/devel/real/client002_session01_webcam_authenticate_adverse_1.mov",
        "Replay-Attack/devel/attack/fixed/attack_mobile_client002_session01_x.mov",
        "Replay-Attack/devel/attack/hand/attack_highdef_client002_session01_x.mov",
    ]);
    let root = build(&replay);
    let error = found(root.path(), "replay").unwrap_err().to_string();
    assert!(error.contains("test part of Replay-Attack not found"), "{error}");
    let mut whole = replay.clone();
    whole.extend(pictures(&[
        "Replay-Attack/test/real/client009_session01_webcam_authenticate_adverse_1.mov",
        "Replay-Attack/test/attack/fixed/attack_mobile_client009_session01_x.mov",
        "Replay-Attack/test/attack/hand/attack_highdef_client009_session01_x.mov",
    ]));
    let lines = found(build(&whole).path(), "replay").unwrap();
    assert_eq!(lines.len(), 9);
    assert!(lines.iter().any(|l| l.starts_with("print/hand_attack_print_client001") && l.ends_with("1 train [client001]")));
    assert!(
        lines.iter().any(
            |l| l.starts_with("mobile/fixed_attack_mobile_client002") && l.ends_with("1 val [client002]")
        )
    );

    let mut oulu = pictures(&[
        "OULU-NPU/Train_files/1_1_01_1.avi",
        "OULU-NPU/Train_files/1_1_01_2.avi",
        "OULU-NPU/Dev_files/1_1_21_4.avi",
        "OULU-NPU/Test_files/1_3_36_1.avi",
        "OULU-NPU/Test_files/1_3_36_5.avi",
    ]);
    good(
        "oulu",
        &oulu,
        &[
            "print/1_1_01_2/0 1 train [user01]",
            "real/1_1_01_1/0 0 train [user01]",
            "real/1_3_36_1/0 0 test [user36]",
            "replay/1_1_21_4/0 1 val [user21]",
            "replay/1_3_36_5/0 1 test [user36]",
        ],
    );
    for (name, text) in
        [("Train", "+1,1_1_01_1\n-1,1_1_01_2\n"), ("Dev", "-1,1_1_21_4\n"), ("Test", "+1,1_3_36_1\r\n")]
    {
        oulu.push(file(&format!("OULU-NPU/Protocols/Protocol_1/{name}.txt"), text));
    }
    assert_eq!(found(build(&oulu).path(), "oulu-p1").unwrap().len(), 4);
    let test = "+OULU-NPU/Protocols/Protocol_1/Test.txt";
    bad("oulu-p1", &oulu, test, "+1,1_3_36_5\n", &["the sign says real, the name fake"]);
    bad("oulu-p1", &oulu, test, "0,1_3_36_5\n", &["the label is `0`"]);
    bad("oulu-p1", &oulu, test, "+1,1_3_40_1\n", &["1_3_40_1 is not there"]);
    bad(
        "oulu-p1",
        &oulu,
        "-OULU-NPU/Protocols/Protocol_1/Test.txt",
        "",
        &["Test list of Protocol_1 not found"],
    );

    let mut celeba =
        pictures(&["CelebA_Spoof/Data/train/12/live/01.png", "CelebA_Spoof/Data/test/13/spoof/02.jpg"]);
    let numbers = |kind: i32, spoof: i32| format!("{:?}", [vec![0; 40], vec![kind, 1, 1, spoof]].concat());
    let label = |key: &str, numbers: &str| format!("{{\"{key}\": {numbers}}}");
    celeba.push(file(
        "CelebA_Spoof/metas/intra_test/train_label.json",
        &label("Data/train/12/live/01.png", &numbers(0, 0)),
    ));
    celeba.push(file(
        "CelebA_Spoof/metas/intra_test/test_label.json",
        &label("Data/test/13/spoof/02.jpg", &numbers(7, 1)),
    ));
    good("celeba-spoof", &celeba, &["live/12_live_01/0 0 train [12]", "pc/13_spoof_02/0 1 test [13]"]);
    let test = "+CelebA_Spoof/metas/intra_test/test_label.json";
    bad(
        "celeba-spoof",
        &celeba,
        test,
        &label("Data/test/13/spoof/02.jpg", &numbers(7, 0)),
        &["number 43 is 0, but the folder is spoof"],
    );
    bad(
        "celeba-spoof",
        &celeba,
        test,
        &label("Data/test/13/spoof/09.jpg", "[]"),
        &["the picture is not there"],
    );
    bad("celeba-spoof", &celeba, test, &label("Data/test/13/other/02.jpg", "[]"), &["the folder is `other`"]);
}

#[test]
fn few_shot_lists_of_single_pictures() {
    let mut files = pictures(&[
        "WCS/frame/wmca/train/real/26.01.18_035_01_000_0_01_00.jpg",
        "WCS/frame/wmca/train/fake/26.01.18_036_01_000_1_01_00.jpg",
        "WCS/frame/wmca/test/real/26.01.18_035_01_000_0_01_01.jpg",
        "WCS/frame/wmca/test/fake/26.01.18_036_01_000_1_01_01.jpg",
    ]);
    for (class, id) in [("real", "035_01_000_0"), ("fake", "036_01_000_1")] {
        for part in ["train", "test"] {
            let n = usize::from(part == "test");
            let line = format!("wmca/{part}/{class}/26.01.18_{id}_01_0{n}.jpg\r\n");
            files.push(file(&format!("WCS/txt/wmca_{class}_{part}.txt"), &line));
            files.push(file(&format!("WCS/txt/wmca_{class}_shot.txt"), &line));
        }
    }
    good(
        "fas-wmca",
        &files,
        &[
            "fake/test_26.01.18_036_01_000_1_01_01/0 1 test [036]",
            "fake/train_26.01.18_036_01_000_1_01_00/0 1 train [036]",
            "real/test_26.01.18_035_01_000_0_01_01/0 0 test [035]",
            "real/train_26.01.18_035_01_000_0_01_00/0 0 train [035]",
        ],
    );
    bad("fas-wmca-shot5", &files, "+unrelated.txt", "x", &["lists 1 videos, 5 are needed"]);
}

#[test]
fn the_first_five_shots_are_taken_in_the_order_of_the_list() {
    let mut files = Files::new();
    for class in ["real", "fake"] {
        let names: Vec<String> = [9, 3, 7, 1, 5, 2].iter().map(|n| format!("{n}_1")).collect();
        let lines: String = names.iter().map(|n| format!("casia/train/{class}/{n}_frame0.png\n")).collect();
        files.push(file(&format!("MCIO/txt/casia_{class}_shot.txt"), &lines));
        for name in names {
            files.extend(pictures(
                &[0, 1]
                    .map(|f| format!("MCIO/frame/casia/train/{class}/{name}_frame{f}.png"))
                    .each_ref()
                    .map(String::as_str),
            ));
        }
    }
    let lines = found(build(&files).path(), "fas-casia-shot5").unwrap();
    let videos: Vec<&str> = lines
        .iter()
        .filter(|l| l.starts_with("real/") && l.contains("/0 "))
        .map(|l| l.split('/').nth(1).unwrap())
        .collect();
    assert_eq!(
        videos,
        ["train_1_1", "train_3_1", "train_5_1", "train_7_1", "train_9_1"],
        "2_1 is the sixth line"
    );
    assert_eq!(lines.len(), 20);
}

/// Protocols 3 and 4: six folds, each with lists of its own.
#[test]
fn oulu_leaves_one_camera_out_by_its_numbered_lists() {
    let names = ["1_1_01_1", "2_1_01_2", "1_1_21_1", "1_2_21_4", "6_3_36_1", "6_3_36_3"];
    let parts = ["Train", "Train", "Dev", "Dev", "Test", "Test"];
    let files: Vec<String> =
        names.iter().zip(parts).map(|(n, p)| format!("OULU-NPU/{p}_files/frames/{n}/3.png")).collect();
    let mut files = pictures(&files.iter().map(String::as_str).collect::<Vec<_>>());
    for (part, text) in
        [("Train", "+1,1_1_01_1\n"), ("Dev", "+1,1_1_21_1\n-1,1_2_21_4\n"), ("Test", "-1,6_3_36_3\n")]
    {
        files.push(file(&format!("OULU-NPU/Protocols/Protocol_3/{part}_2.txt"), text));
        files.push(file(&format!("OULU-NPU/Protocols/Protocol_4/{part}_6.txt"), text));
    }
    let expected = [
        "print/6_3_36_3/3 1 test [user36]",
        "real/1_1_01_1/3 0 train [user01]",
        "real/1_1_21_1/3 0 val [user21]",
        "replay/1_2_21_4/3 1 val [user21]",
    ];
    good("oulu-p3-2", &files, &expected);
    good("oulu-p4-6", &files, &expected);
    bad("oulu-p3-1", &files, "+x.txt", "", &["Train list of Protocol_3/1", "Train_1.txt"]);
}
