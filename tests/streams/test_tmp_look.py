from mmdefect.streams.report import write_report, write_comparison
import shutil
from tests.helpers.synthetic_stream import make_stream
def test_look(tmp_path):
    shutil.rmtree('/tmp/h3_look', ignore_errors=True)
    a=make_stream(tmp_path); b=make_stream(tmp_path, "joint", last=[.62,.70,.79,.72,.64,.83])
    write_report(a); write_comparison({'finetune':a,'joint':b}, a/'cmp')
    shutil.copytree(a,'/tmp/h3_look')
