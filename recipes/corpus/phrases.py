"""What people ask for and how they word it: the subjects and the phrasings of dialogues.py.

Words in braces are filled in: {subject}, {form}, {author}, {character}, {play}, {number}.
"""

# Form of a poem -> its names, the full one first.
FORM_NAMES = {
    (4, 5): ["五言绝句", "五绝"],
    (4, 7): ["七言绝句", "七绝"],
    (8, 5): ["五言律诗", "五律"],
    (8, 7): ["七言律诗", "七律"],
}

# Names in Chinese, the name in English, the words counted in a poem's title and lines.
POEM_SUBJECTS = [
    (["月", "明月", "月亮", "月夜"], "the moon", "月 蟾 婵娟"),
    (["春天", "春", "春日", "春色"], "spring", "春"),
    (["夏天", "夏日", "暑热"], "summer", "夏 暑 热 炎"),
    (["秋天", "秋", "秋日", "秋思"], "autumn", "秋"),
    (["冬天", "冬", "寒冬"], "winter", "冬 腊 冰 岁寒"),
    (["雪", "大雪", "雪景"], "snow", "雪"),
    (["雨", "下雨", "夜雨"], "rain", "雨"),
    (["风", "清风"], "the wind", "风"),
    (["云", "白云"], "clouds", "云"),
    (["花", "鲜花", "花开"], "flowers", "花 芳"),
    (["梅花", "梅"], "plum blossom", "梅"),
    (["牡丹"], "peonies", "牡丹"),
    (["荷花", "莲花"], "the lotus", "荷 莲 芙蓉"),
    (["菊花", "菊"], "chrysanthemums", "菊"),
    (["柳树", "柳", "杨柳"], "willows", "柳"),
    (["竹子", "竹", "竹林"], "bamboo", "竹"),
    (["松树", "松"], "pine trees", "松"),
    (["草", "青草"], "grass", "草"),
    (["落叶", "树叶"], "falling leaves", "落叶 叶 木落"),
    (["山", "青山", "山水"], "the mountains", "山 峰 岭"),
    (["江", "江水", "大江"], "the river", "江"),
    (["湖", "湖水"], "a lake", "湖"),
    (["海", "大海"], "the sea", "海"),
    (["溪水", "小溪", "泉水"], "a stream", "溪 泉 涧"),
    (["离别", "送别", "分别"], "parting", "送 别 离 饯"),
    (["思乡", "故乡", "乡愁"], "homesickness", "乡 归 故园 家书"),
    (["朋友", "友情", "故人"], "friendship", "友 故人 知己 知音"),
    (["相思", "思念", "爱情"], "longing", "相思 思君 忆 思"),
    (["酒", "饮酒", "喝酒"], "wine", "酒 醉 杯 饮"),
    (["边塞", "战争", "将军"], "the frontier", "塞 边城 边庭 胡 战 戍 军"),
    (["夜晚", "夜", "夜色"], "night", "夜 宵"),
    (["夕阳", "黄昏", "傍晚"], "the evening", "夕 暮 黄昏 斜阳 落日"),
    (["早晨", "清晨", "拂晓"], "the morning", "晓 晨 曙"),
    (["梦"], "a dream", "梦"),
    (["琴", "音乐", "笛声"], "music", "琴 笛 箫 曲 歌 笙"),
    (["寺庙", "僧人", "禅"], "a monk", "僧 寺 禅 上人 钟"),
    (["神仙", "道士", "隐士"], "an immortal", "仙 道 隐"),
    (["渔夫", "钓鱼", "小船"], "a fisherman", "渔 钓 舟 船"),
    (["大雁", "雁"], "wild geese", "雁 鸿"),
    (["鸟", "小鸟"], "birds", "鸟 莺 燕 鹭 鹤"),
    (["马", "骏马"], "a horse", "马"),
    (["怀古", "历史", "兴亡"], "the past", "古 故国 汉 吴王 六朝 兴亡"),
    (["皇宫", "宫女"], "the palace", "宫 殿 帝"),
    (["美人", "女子"], "a beautiful woman", "美人 妾 佳人 妆 眉"),
    (["登高", "高楼", "远望"], "a view from a tower", "登 楼 望"),
    (["忧愁", "愁"], "sorrow", "愁 恨 泪 悲"),
    (["年老", "白发"], "old age", "老 白发 白头 衰"),
    (["旅途", "行路"], "a journey", "客 路 旅 行人 征"),
]

# Names in English, the name in Chinese, the words counted in a speech.
SPEECH_SUBJECTS = [
    (["love", "love"], "爱情", "love loves lov'd loved lover lovers loving"),
    (["death", "dying"], "死亡", "death die dies dead dying died"),
    (["the night", "night"], "夜晚", "night nights midnight"),
    (["kings", "a king"], "国王", "king kings king's majesty sovereign"),
    (["war", "battle"], "战争", "war wars battle fight arms army soldiers"),
    (["blood"], "鲜血", "blood bloody bleed"),
    (["honour"], "荣誉", "honour honours honourable noble nobility"),
    (["heaven", "the heavens"], "上天", "heaven heavens heaven's heavenly"),
    (["time"], "时间", "time times hour hours minute"),
    (["the sea"], "大海", "sea seas ocean ship ships waves tempest"),
    (["fear"], "恐惧", "fear fears fearful afraid"),
    (["sleep", "dreams"], "梦", "sleep sleeps dream dreams slept"),
    (["money", "gold"], "金钱", "gold money ducats crowns purse rich"),
    (["a father", "fathers"], "父亲", "father fathers father's"),
    (["a mother", "mothers"], "母亲", "mother mothers mother's"),
    (["a son", "sons"], "儿子", "son sons"),
    (["a daughter", "daughters"], "女儿", "daughter daughters"),
    (["a brother", "brothers"], "兄弟", "brother brothers brother's"),
    (["a friend", "friendship"], "朋友", "friend friends friendship"),
    (["fools", "folly"], "愚人", "fool fools folly foolish"),
    (["the heart"], "心", "heart hearts heart's"),
    (["the eyes", "eyes"], "眼睛", "eye eyes"),
    (["grief", "tears", "sorrow"], "悲伤", "grief tears tear weep weeping sorrow sorrows woe"),
    (["revenge", "murder"], "复仇", "revenge reveng'd murder murderer wrongs vengeance"),
    (["the crown", "a throne"], "王冠", "crown crown'd throne"),
    (["ghosts", "spirits"], "鬼魂", "ghost ghosts spirit spirits"),
    (["music"], "音乐", "music song sing sings sweet"),
    (["flowers"], "花", "flower flowers rose roses lily"),
    (["summer and winter", "the weather"], "四季", "summer winter spring wind storm rain frost snow"),
    (["the sun", "daylight"], "太阳", "sun day morning light"),
    (["the moon", "the stars"], "月亮和星星", "moon star stars"),
    (["marriage", "a wife", "a husband"], "婚姻", "marry marriage married wife husband wed wedding"),
    (["a sword"], "剑", "sword swords dagger blade steel"),
    (["the gods", "God"], "神", "god gods god's jove"),
    (["virtue", "truth"], "真理", "truth true virtue virtues virtuous honest"),
    (["beauty"], "美", "beauty beauteous fair fairer beautiful"),
    (["madness"], "疯狂", "mad madness madman"),
    (["fortune"], "命运", "fortune fortunes fortune's fate"),
    (["Rome"], "罗马", "rome roman romans caesar"),
    (["England"], "英格兰", "england english england's"),
]

# Chinese, for a poem.
ASK_BOTH = [
    "写一首关于{subject}的{form}。",
    "请写一首关于{subject}的{form}",
    "请以“{subject}”为题，作一首{form}。",
    "以{subject}为题写一首{form}",
    "来一首写{subject}的{form}吧",
    "给我一首{form}，写{subject}。",
    "作一首{form}，题材是{subject}。",
    "能写一首{form}吗？内容要有{subject}。",
    "我想读一首写{subject}的{form}。",
    "用{form}的形式写写{subject}。",
    "{subject}，{form}，写一首。",
    "帮我作一首咏{subject}的{form}，谢谢。",
    "请你以{subject}为主题赋{form}一首。",
    "写首{form}，要写到{subject}",
    "可以给我写一首有{subject}的{form}吗",
    "你会写{form}吗？写一首{subject}的。",
    "今天想到{subject}，请作一首{form}。",
    "吟一首{form}，说说{subject}。",
    "{form}一首，写{subject}。",
    "麻烦写一首{subject}主题的{form}",
    "想要一首{form}，意象是{subject}。",
    "模仿唐人，写一首{subject}的{form}。",
]
ASK_SUBJECT = [
    "写一首关于{subject}的诗。",
    "请写一首写{subject}的诗",
    "来首诗，写{subject}。",
    "能写一首{subject}的诗吗？",
    "作诗一首，以{subject}为题。",
    "我想看写{subject}的唐诗。",
    "用古诗写一写{subject}。",
    "{subject}，作诗一首。",
    "给我写一首关于{subject}的古诗吧",
    "请吟一首有{subject}的诗。",
]
ASK_FORM = [
    "写一首{form}。",
    "请作一首{form}",
    "来一首{form}吧",
    "给我一首{form}，题目随意。",
    "随便写一首{form}",
    "你能写{form}吗？",
    "{form}一首。",
    "我想读一首{form}。",
]
ASK_AUTHOR = [
    "仿{author}写一首{form}。",
    "请模仿{author}的风格写一首{form}，写{subject}。",
    "像{author}那样，写一首关于{subject}的{form}",
    "学{author}的口吻，作一首{form}。",
]
ASK_ENGLISH_FOR_POEM = [
    "Write a Chinese poem about {subject}.",
    "Please write a Tang poem about {subject}",
    "A classical Chinese poem on {subject}, please.",
    "Can you write a poem in Chinese about {subject}?",
    "Give me a short Tang-style poem with {subject} in it.",
]
AGAIN_POEM = ["再来一首", "再来一首。", "再写一首吧", "还有吗？再来一首", "很好，再来一首！", "再作一首"]
OTHER_FORM = ["换成{form}写一首", "再写一首{form}", "同样的题材，写一首{form}", "这次用{form}。"]
OTHER_SUBJECT = ["再写一首关于{subject}的", "换成{subject}呢？", "那写{subject}呢？", "下一首写{subject}。"]
GREET_CHINESE = ["你好", "你好！", "您好", "在吗？", "你会做什么？", "你是谁？"]
REPLY_CHINESE = [
    "你好。我会作五言、七言的绝句和律诗，想写什么？",
    "你好！请说一个题材，比如月、春天、离别，我来作诗。",
    "我是一个学过唐诗和莎士比亚戏剧的小模型。要一首诗，还是几句台词？",
]

# English, for a speech.
ASK_CHARACTER = [
    "Give me a speech for {character}.",
    "Write some lines for {character}.",
    "What would {character} say?",
    "Speak as {character}.",
    "A few lines in the voice of {character}, please.",
    "Let {character} speak.",
    "Write something {character} might say in {play}.",
    "I would like to hear {character} from {play}.",
    "Please write a short speech for {character}",
    "Pretend to be {character}.",
]
ASK_CHARACTER_SUBJECT = [
    "Write a speech for {character} about {subject}.",
    "What does {character} say of {subject}?",
    "Let {character} speak about {subject}.",
    "Have {character} say a few lines on {subject}",
    "A speech by {character} on {subject}, please.",
    "I want {character} to talk about {subject}.",
]
ASK_PLAY = [
    "Write some lines in the manner of {play}.",
    "Give me a speech in the style of {play}.",
    "Some lines that could stand in {play}, please.",
    "Write a short speech for a scene in {play}",
    "Can you write like {play}?",
    "A new speech for {play}, please.",
]
ASK_PLAY_SUBJECT = [
    "Write lines about {subject} in the manner of {play}.",
    "In the style of {play}, a speech about {subject}.",
    "Give me a speech on {subject} that would fit {play}",
    "Something about {subject}, as in {play}, please.",
]
ASK_SPEECH_SUBJECT = [
    "Write a speech about {subject}.",
    "Give me some lines about {subject}.",
    "A dramatic speech on {subject}, please.",
    "Write a few lines of a play about {subject}",
    "Can you write something Shakespearean about {subject}?",
    "I need a short speech about {subject}.",
    "Lines on {subject}, in blank verse.",
    "Please give me a character who speaks of {subject}.",
    "Let somebody on the stage talk about {subject}.",
    "Compose a speech on the subject of {subject}.",
]
ASK_SPEECH = [
    "Write a speech for a play.",
    "Give me some lines from a play.",
    "Recite something.",
    "Some blank verse, please.",
    "Write like Shakespeare.",
]
ASK_CHINESE_FOR_SPEECH = [
    "用英文写一段关于{subject}的戏剧台词。",
    "写几句莎士比亚风格的英文台词，说说{subject}。",
    "请用英语写一段独白，主题是{subject}",
    "来一段英文台词，写{subject}。",
]
AGAIN_SPEECH = [
    "Another speech, please.",
    "Another one.",
    "More, please.",
    "Very good. Give me another.",
    "Again!",
    "One more, please.",
]
OTHER_SPEECH_SUBJECT = [
    "Now one about {subject}.",
    "And about {subject}?",
    "Now something on {subject}, please.",
]
OTHER_CHARACTER = ["And for {character}?", "Now let {character} speak.", "Now as {character}."]
GREET_ENGLISH = ["Hello", "Hello!", "Hi", "Hi there.", "Who are you?", "What can you do?"]
REPLY_ENGLISH = [
    "Good day. I write lines for the stage: name a character, a play or a subject.",
    "Hello! Shall I write a speech, or a poem in Chinese? Name a subject.",
    "I am a small model that has read Shakespeare's plays and Tang poems. What shall I write?",
]
