"""Which language a message is in, and one script for both ways of writing Chinese. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from bot.messages import Language

LanguageSetting = Literal["auto", "zh", "en"]
"""As in `dialogue.language`."""

DEFAULT: Language = "zh"
"""Where nothing at all shows a language: no letter, no earlier message, no hint from the platform."""

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")

_INTERNATIONAL = frozenset(  # a text is split, because a hundred quoted words read worse
    "ok okay yes no hi hello hey thanks thx thank you bye app vip vpn pdf sms id url wifi usb apple pay paypal visa "  # noqa: SIM905
    "alipay wechat google iphone ipad mastercard".split()
)
"""Words that say nothing about the language: people write them in both."""


def detect(text: str, *, setting: LanguageSetting, known: Language | None, hint: str) -> Language:
    """The language to answer in.

    `setting` forces one; `known` is the language of the person's last telling message, `hint` an IETF tag of the
    platform. Both count only where the text itself shows too little.
    """
    if setting != "auto":
        return setting
    return shown(text) or known or _hinted(hint) or _from_letters(text) or DEFAULT


@lru_cache(maxsize=256)
def shown(text: str) -> Language | None:
    """The language the text itself shows; None for one that could be either ("ok", "iPhone 15", an emoji)."""
    han = len(_HAN.findall(text))
    words = [word.casefold() for word in _WORD.findall(_HAN.sub(" ", text))]
    if han:
        # A Chinese question may hold many foreign names; an English one quotes a Chinese word at most.
        return "zh" if han >= len(words) else "en"
    if _KANA_OR_HANGUL.search(text):
        return "en"
    telling = [word for word in words if word not in _INTERNATIONAL]
    return "en" if len(telling) >= 2 or (telling and len(words) >= 3) else None


def _from_letters(text: str) -> Language | None:
    """A lone Latin word ("refund") is English to somebody we know nothing about."""
    return "en" if _WORD.search(text) else None


def _hinted(tag: str) -> Language | None:
    if not tag:
        return None
    return "zh" if tag.casefold().replace("_", "-").split("-")[0] in {"zh", "yue", "cmn"} else "en"


# Traditional characters of everyday and support language, and the simplified one each has. Not a converter: rules and
# word overlap need the frequent ones only, and embedders read both scripts. Where one traditional character has several
# simplified forms, the one that customers of a shop write.
_TRADITIONAL = (
    "丟並乾亞併來俬倉個們備傢傳僅價儘償優儲兌兒內兩冊凍別刪則剋剛創劃劇劍劑勁動務勝勞勢勵勸匯區協厭參員唄"
    "問啓啞喚喪喫單嗎嘆嘍嘗噁噴噸噹嚐嚮嚴囉囌囑國圍園圓圖團執堅報場塊塵墊墮壇壓壞壯壺壽夠夢夾奧奪奮妝娛婦"
    "媽嬰孫學寀寢實寧審寫寬寵寶將專尋對導屆層屬島峽崗師帳帶幣幫幹幾庫廚廟廠廢廣廳弔張強彈彎彙後徑從復徹悶"
    "惡愛態慣慮慶憑憤憲憶懇應懷戀戰戶掃掛採揚換揮損搖摺撐撥擁擇擊擔據擠擬擲擴擺擾攔攝攤敗敘敵數斷於昇時暈"
    "暫曆曉曏書會朮東條棄業極構槍樂樓標樣樹橋機檢檯檻櫃欄權歎歐歡歲歷歸殘殺殼氣決沒沖況涼淚淨減測湊湯準溝"
    "溫溼滅滬滯滾滿漢漲漸潔潤澤濃濟濤濾瀏灑灣災為無煉煩熱燈燒營爐爛爲爾牀牆狀猶獅獎獨獲獵獸獻現瑪環產畢畫"
    "異當瘋療發盃盜盡監盤盧睜瞞確碼磚礎礙礦祕禍禮稅種稱積穩穫窮竊競筆箇節範簡簽簾籃籠籤糧糰糾紀約紅紋納純"
    "紗紙級紛紡細紹終組結絕絡給絨統絲綁經綜綠綢綫維綱網綵綿緊緒線緣編緩練縣縮縱縴總績織繞繩繪繫繭繳繼續纔"
    "纖纜罈罰罷羅羣習聖聞聯聰聲職聽肅脈脩脫脹腦腳腸膚膠膽臉臘臟臺與興舉舊艙艦艱華萊葉葯蒐蓋蕭薦藍藝藥蘆蘇"
    "蘋蘭處虛號蝕蝦蟲衆術衛衝裏補裝裡製複褲襪襯覈見規視親覺覽觀觸訂計訊討訓記訪設許訴診註証詐評詞詢試詩話"
    "該詳誌認誕語誤說誰課誼調談請諒論諸諾謀講謝謹證識譜譯議護譽讀變讓讚豐豬貓貝負財貢貨貫責貴買貸費貼貿賀"
    "資賓賞賠賣賤質賬賴賺購賽贈贊贏趕趨跡踐蹟躍車軌軟較載輔輕輛輩輪輯輸轉辦辭農迴這連週進遊運過達違遞遠適"
    "遲遷選遺邁還邊郵鄉鄭鄰醫醬釋針釣鈕鈡鈴鉛銀銅銷鋪鋰鋼錄錢錦錫錯錶鍊鍋鍵鍼鍾鎖鎮鏈鏡鐘鐵鑑鑒鑰鑽長門閃"
    "閉開閑閒間閱闆關陣陰陳陸陽隊階際隨險隱隻雖雙雜雞離難雲電霧靈靜韓響頁頂項順須預頓領頭頻題額顏願類顧顯"
    "風颱飛飯飲飽飾餅養餘館餵饋馬駁駕駛騎騙騰驅驗驚驛驟髒體髮鬚鬥魚鮮鳥鴨鷄鹽麥麪麵麼黃點齊齡齣龍佔佈託妳"
    "祇"
)
_SIMPLIFIED = (
    "丢并干亚并来私仓个们备家传仅价尽偿优储兑儿内两册冻别删则克刚创划剧剑剂劲动务胜劳势励劝汇区协厌参员呗"
    "问启哑唤丧吃单吗叹喽尝恶喷吨当尝向严啰苏嘱国围园圆图团执坚报场块尘垫堕坛压坏壮壶寿够梦夹奥夺奋妆娱妇"
    "妈婴孙学采寝实宁审写宽宠宝将专寻对导届层属岛峡岗师帐带币帮干几库厨庙厂废广厅吊张强弹弯汇后径从复彻闷"
    "恶爱态惯虑庆凭愤宪忆恳应怀恋战户扫挂采扬换挥损摇折撑拨拥择击担据挤拟掷扩摆扰拦摄摊败叙敌数断于升时晕"
    "暂历晓向书会术东条弃业极构枪乐楼标样树桥机检台槛柜栏权叹欧欢岁历归残杀壳气决没冲况凉泪净减测凑汤准沟"
    "温湿灭沪滞滚满汉涨渐洁润泽浓济涛滤浏洒湾灾为无炼烦热灯烧营炉烂为尔床墙状犹狮奖独获猎兽献现玛环产毕画"
    "异当疯疗发杯盗尽监盘卢睁瞒确码砖础碍矿秘祸礼税种称积稳获穷窃竞笔个节范简签帘篮笼签粮团纠纪约红纹纳纯"
    "纱纸级纷纺细绍终组结绝络给绒统丝绑经综绿绸线维纲网彩绵紧绪线缘编缓练县缩纵纤总绩织绕绳绘系茧缴继续才"
    "纤缆坛罚罢罗群习圣闻联聪声职听肃脉修脱胀脑脚肠肤胶胆脸腊脏台与兴举旧舱舰艰华莱叶药搜盖萧荐蓝艺药芦苏"
    "苹兰处虚号蚀虾虫众术卫冲里补装里制复裤袜衬核见规视亲觉览观触订计讯讨训记访设许诉诊注证诈评词询试诗话"
    "该详志认诞语误说谁课谊调谈请谅论诸诺谋讲谢谨证识谱译议护誉读变让赞丰猪猫贝负财贡货贯责贵买贷费贴贸贺"
    "资宾赏赔卖贱质账赖赚购赛赠赞赢赶趋迹践迹跃车轨软较载辅轻辆辈轮辑输转办辞农回这连周进游运过达违递远适"
    "迟迁选遗迈还边邮乡郑邻医酱释针钓钮钟铃铅银铜销铺锂钢录钱锦锡错表炼锅键针钟锁镇链镜钟铁鉴鉴钥钻长门闪"
    "闭开闲闲间阅板关阵阴陈陆阳队阶际随险隐只虽双杂鸡离难云电雾灵静韩响页顶项顺须预顿领头频题额颜愿类顾显"
    "风台飞饭饮饱饰饼养余馆喂馈马驳驾驶骑骗腾驱验惊驿骤脏体发须斗鱼鲜鸟鸭鸡盐麦面面么黄点齐龄出龙占布托你"
    "只"
)
_TO_SIMPLIFIED = str.maketrans(_TRADITIONAL, _SIMPLIFIED)


def simplified(text: str) -> str:
    """The text with frequent traditional characters written in simplified form; same length."""
    return text.translate(_TO_SIMPLIFIED)
