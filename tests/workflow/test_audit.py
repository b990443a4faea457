def test_x(study): print(study.folder)
